import type { FileIdentity } from './read.ts';

/** Milliseconds to wait before a file that may be unfinished is read again. */
export const settleDelay = { replaced: 4, inPlace: 25 } as const;

/** A file whose last write is older than this, in milliseconds, is taken to be finished. */
const quiet = 1000;

/**
 * Whether a file may still be being written, and if so how long to wait before it is read again.
 *
 * A rename or a link into place changes the ctime of a file and not its mtime; a write moves both. So a ctime after the
 * mtime means that the content was complete before the name appeared. Both equal and recent: an in-place write, or a rename
 * within the same tick of the clock as the write; these are read again until two reads agree.
 *
 * @param now the file as it was just read
 * @param before the file as it was last accepted; undefined when it was not there
 * @param nowMs the wall clock, milliseconds since 1970
 * @returns milliseconds to wait; 0 when the file is finished
 */
export function settleTime(now: FileIdentity, before: FileIdentity | undefined, nowMs: number): number {
  if (now.changedNs > now.modifiedNs) return 0;
  if (Math.abs(nowMs - Number(now.modifiedNs / 1_000_000n)) >= quiet) return 0;
  const writtenInPlace = before !== undefined && before.inode === now.inode && before.device === now.device;
  return writtenInPlace ? settleDelay.inPlace : settleDelay.replaced;
}

const boundary = Buffer.from('-----END ');

/**
 * Whether a file that came in the place of another one is as whole as that one was: it ends with a PEM boundary (RFC 7468 §3) and
 * has no fewer blocks. A writer that is not done yet has fewer, or stops in the middle of one. Says nothing of files written in
 * place, which may hold the end of the old content.
 * @param now what was just read, from another inode than what was there before
 * @param before what that was, or how many blocks it had
 */
export function isWholeReplacement(now: Buffer, before: Buffer | number): boolean {
  const blocks = countBlocks(now);
  const needed = typeof before === 'number' ? before : countBlocks(before);
  return blocks > 0 && blocks >= needed && /-----\s*$/.test(now.toString('latin1', now.length - 8));
}

/** How many PEM blocks end in a file. */
export function countBlocks(bytes: Buffer): number {
  let count = 0;
  for (let at = bytes.indexOf(boundary); at >= 0; at = bytes.indexOf(boundary, at + boundary.length)) count += 1;
  return count;
}
