/**
 * The file of counts. All cells are doubles in the order of bytes of the machine.
 *
 * ```
 * 0                      number of the newest complete frame
 * frameAt(n)             n | count of slots | slots … | n
 * frameAt(n + 1)         …                                  (four places, taken in turn)
 * ```
 *
 * A frame is written whole, then its number is put at position 0, in a system call of its own. So:
 * - A process that is killed in the middle of a frame (the kernel ends a write early, between two pages, when the process is being killed)
 *   leaves the number of the frame before, which lies in another place and is whole.
 * - A reader takes the number n, reads frame n, then takes the number again, m. The place of frame n is written to again by frame
 *   n + 4, which is begun after n + 3 was put at position 0. So with m ≤ n + 2 nobody has touched what was read. Otherwise it reads again.
 *
 * The number at the head and the tail of a frame alone would not do, though every write and read goes upwards: a reader that is faster than the
 * writer for a while reads the new head, overtakes it, reads old slots, is overtaken again and reads the new tail. They stay as a check of
 * the number at position 0 itself.
 */
export const frames = 4;

/** Room for a frame, in bytes; the file is sparse. Two million slots; more are not written. */
export const frameBytes = 16 * 1024 * 1024;

/** Bytes of a cell. */
export const cellBytes = Float64Array.BYTES_PER_ELEMENT;

/** Cells of a frame before its slots: its number, the count of slots. */
export const headCells = 2;

/** Cells of a frame with that many slots. */
export function cellsOf(slots: number): number {
  return headCells + slots + 1;
}

/** Where frame `n` is, in bytes. */
export function frameAt(n: number): number {
  return 4096 + (n % frames) * frameBytes;
}

/** The two files of a process: what it has counted, and what its slots mean (one JSON array a line). */
export interface SheetDescriptors {
  readonly counts: number;
  readonly series: number;
}
