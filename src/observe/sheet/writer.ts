import { writeSync } from 'node:fs';
import { cellBytes, cellsOf, frameAt, frameBytes, headCells, type SheetDescriptors } from './layout.ts';
import { type Series, toLine } from './reading.ts';

/** Writes the counts of a process to its two files, so that they are right whenever the process is killed (see layout.ts). */
export class SheetWriter {
  readonly #files: SheetDescriptors;
  readonly #newest = new Float64Array(1);
  #undescribed = '';
  #describedBytes = 0;

  /** @param files open for writing; they stay the caller's */
  constructor(files: SheetDescriptors) {
    this.#files = files;
  }

  /** Notes a new series. It is written before the next frame, for a reader that knows a slot has to find its meaning. */
  describe(series: Series): void {
    this.#undescribed += toLine(series);
  }

  /**
   * Writes a frame. `cells` has room for its head and tail around the slots and is changed there.
   * @returns false when nothing was written: the place is full, say. The frame before stays
   */
  write(cells: Float64Array, slots: number): boolean {
    const number = (this.#newest[0] as number) + 1;
    const count = cellsOf(slots);
    if (count * cellBytes > frameBytes) return false;
    cells[0] = number;
    cells[1] = slots;
    cells[headCells + slots] = number;
    try {
      this.#writeSeries();
      writeAll(this.#files.counts, cells, count * cellBytes, frameAt(number));
      this.#newest[0] = number;
      writeAll(this.#files.counts, this.#newest, cellBytes, 0);
      return true;
    } catch {
      this.#newest[0] = number - 1;
      return false;
    }
  }

  #writeSeries(): void {
    if (this.#undescribed === '') return;
    const bytes = Buffer.from(this.#undescribed);
    // At its own position: should it fail half way, the same bytes are written there again.
    writeAll(this.#files.series, bytes, bytes.length, this.#describedBytes);
    this.#describedBytes += bytes.length;
    this.#undescribed = '';
  }
}

function writeAll(file: number, bytes: NodeJS.ArrayBufferView, length: number, position: number): void {
  let written = 0;
  while (written < length) written += writeSync(file, bytes, written, length - written, position + written);
}
