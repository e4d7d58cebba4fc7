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
