/** What the upstream answers and its clients expect, so that every byte that went through the proxy can be checked. */

/** Size of the download unless a test asks for another. */
export const DOWNLOAD_BYTES = 100 * 1024 * 1024;

const PADDING = 'x'.repeat(200);
const BLOCK = Buffer.alloc(256 * 1024);
for (let i = 0; i < BLOCK.length; i += 4) BLOCK.writeUInt32BE(Math.imul(i, 2_654_435_761) >>> 0, i);

/** The JSON body that answers `path`; it names the path, so a mixed-up response is noticed. */
export function bodyFor(path: string): string {
  return `{"path":"${path}","padding":"${PADDING}"}`;
}

/** The bytes of the download from `offset`: at least one, at most `length`. */
export function downloadBytes(offset: number, length: number): Buffer {
  const start = offset % BLOCK.length;
  return BLOCK.subarray(start, Math.min(BLOCK.length, start + length));
}

/** Whether `chunk` is what the download holds at `offset`. */
export function isDownloadAt(offset: number, chunk: Buffer): boolean {
  for (let done = 0; done < chunk.length; ) {
    const expected = downloadBytes(offset + done, chunk.length - done);
    if (!expected.equals(chunk.subarray(done, done + expected.length))) return false;
    done += expected.length;
  }
  return true;
}
