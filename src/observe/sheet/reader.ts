import { readSync } from 'node:fs';
import { cellBytes, cellsOf, frameAt, frameBytes, frames, headCells, type SheetDescriptors } from './layout.ts';
import { fromLine, nothingRead, type Reading, type ReadingSource, type Series } from './reading.ts';

const attempts = 1000;

/** Reads what another process writes of its counts, while it writes and after it was killed (see layout.ts). */
export class SheetReader implements ReadingSource {
  readonly #files: SheetDescriptors;
  readonly #newest = new Float64Array(1);
  #cells = new Float64Array(512);
  #number = 0;
  readonly #series: Series[] = [];
  #describedBytes = 0;

  /** @param files open for reading; they stay the caller's */
  constructor(files: SheetDescriptors) {
    this.#files = files;
  }

  /**
   * What the process had counted at the end of one turn of its event loop; never an earlier one than the last time.
   * @throws {Error} when the files cannot be read, or were written to faster than they could be read, many times over
   */
  read(): Reading {
    for (let attempt = 0; attempt < attempts; attempt++) {
      const values = this.#tryValues();
      if (!values) continue;
      // After the counts: what a slot means was written before the slot.
      this.#readSeries();
      return { series: this.#series.filter(({ slot, slots }) => slot + slots <= values.length), values };
    }
    throw new Error(`no reading of the counts in ${attempts} attempts`);
  }

  #tryValues(): Float64Array | null {
    const number = this.#newestNumber();
    if (number === 0 && this.#number === 0) return nothingRead.values;
    if (!Number.isSafeInteger(number) || number < this.#number) return null;
    const bytes = readSync(this.#files.counts, this.#cells, 0, this.#cells.byteLength, frameAt(number));
    const [head, slots] = this.#cells as unknown as [number, number];
    if (bytes < headCells * cellBytes || head !== number || !Number.isSafeInteger(slots) || slots < 0) return null;
    const count = cellsOf(slots);
    if (count > this.#cells.length) {
      if (count * cellBytes <= frameBytes) this.#cells = new Float64Array(Math.max(count, this.#cells.length * 2));
      return null;
    }
    if (bytes < count * cellBytes || this.#cells[count - 1] !== number) return null;
    if (this.#newestNumber() > number + frames - 2) return null;
    this.#number = number;
    return this.#cells.slice(headCells, headCells + slots);
  }

  #newestNumber(): number {
    const bytes = readSync(this.#files.counts, this.#newest, 0, cellBytes, 0);
    return bytes === cellBytes ? (this.#newest[0] as number) : 0;
  }

  #readSeries(): void {
    const chunk = Buffer.allocUnsafe(16 * 1024);
    let text = Buffer.alloc(0);
    let bytes: number;
    do {
      bytes = readSync(this.#files.series, chunk, 0, chunk.length, this.#describedBytes + text.length);
      text = Buffer.concat([text, chunk.subarray(0, bytes)]);
    } while (bytes > 0 && this.#describedBytes + text.length < frameBytes);
    // The last line may be half written; it is read again the next time.
    const complete = text.subarray(0, text.lastIndexOf(0x0a) + 1);
    this.#describedBytes += complete.length;
    for (const line of complete.toString('utf8').split('\n')) {
      const series = fromLine(line);
      if (series) this.#series.push(series);
    }
  }
}

/** Tells what a process counted by the copies that it sends, where it has no files to write to. */
export class CopyReader implements ReadingSource {
  #last: Reading = nothingRead;

  /** @param reading what `Sheet.read()` returned in that process */
  accept(reading: Reading): void {
    this.#last = reading;
  }

  /** The last copy; nothing before the first. */
  read(): Reading {
    return this.#last;
  }
}
