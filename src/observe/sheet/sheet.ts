import { cellsOf, headCells, type SheetDescriptors } from './layout.ts';
import { type Reading, type ReadingSource, type Series, seriesOf } from './reading.ts';
import { SheetWriter } from './writer.ts';

/**
 * The counts of one process, in one growing array. With files, what changed is written out at the end of each turn of the event loop, so that
 * another process can read it, and goes on to when this one is killed.
 */
export class Sheet implements ReadingSource {
  /** A frame as it is written: head, slots, tail. */
  #cells = new Float64Array(256);
  #slots = 0;
  readonly #series: Series[] = [];
  #writer: SheetWriter | null;
  /** Something changed that was not written. */
  #dirty = false;
  /** Nothing to do at a change: it will be written anyway, or never. */
  #settled: boolean;

  /** @param files where to write to, open for writing; they stay the caller's. Kept in memory only when left out */
  constructor(files?: SheetDescriptors) {
    this.#writer = files ? new SheetWriter(files) : null;
    this.#settled = !files;
    if (files) process.once('exit', this.#flush);
  }

  /**
   * Gives a new series its slots, at 0.
   * @param labels the values, in the order of the family's label names
   * @returns the first slot
   */
  open(family: string, labels: readonly string[], slots: number): number {
    const slot = this.#slots;
    this.#slots += slots;
    if (cellsOf(this.#slots) > this.#cells.length) {
      const larger = new Float64Array(Math.max(this.#cells.length * 2, cellsOf(this.#slots)));
      larger.set(this.#cells);
      this.#cells = larger;
    }
    // The tail of the last frame stood in the first of them.
    this.#cells[headCells + slot] = 0;
    const series = seriesOf(family, labels, slot, slots);
    this.#series.push(series);
    this.#writer?.describe(series);
    this.#dirty = true;
    if (!this.#settled) this.#schedule();
    return slot;
  }

  add(slot: number, amount: number): void {
    this.#cells[headCells + slot] = (this.#cells[headCells + slot] as number) + amount;
    this.#dirty = true;
    if (!this.#settled) this.#schedule();
  }

  set(slot: number, value: number): void {
    this.#cells[headCells + slot] = value;
    this.#dirty = true;
    if (!this.#settled) this.#schedule();
  }

  /** Adds a value to a histogram: its bucket (none when it is above all), sum and count. @param sum the slot after the buckets */
  observe(bucket: number, sum: number, value: number): void {
    const cells = this.#cells;
    const at = headCells + sum;
    if (bucket < sum) cells[headCells + bucket] = (cells[headCells + bucket] as number) + 1;
    cells[at] = (cells[at] as number) + value;
    cells[at + 1] = (cells[at + 1] as number) + 1;
    this.#dirty = true;
    if (!this.#settled) this.#schedule();
  }

  /** What was counted up to now. */
  read(): Reading {
    return { series: [...this.#series], values: this.#cells.slice(headCells, headCells + this.#slots) };
  }

  /**
   * Writes out what changed at once: for what somebody is about to be told, such as an answer, and which has to be counted even if the
   * process is killed right after.
   */
  keep(): void {
    this.#write();
  }

  /** Writes out what changed now, not at the end of the turn. Does nothing without files. */
  flush(): void {
    this.#flush();
  }

  /** Writes out what changed and lets go of the files. From here on it counts in memory only. */
  close(): void {
    this.#flush();
    process.removeListener('exit', this.#flush);
    this.#writer = null;
    this.#settled = true;
  }

  #schedule(): void {
    this.#settled = true;
    // Holds the process for one turn at the most; an unreferenced one would not run before the next event after a change in a timer.
    setImmediate(this.#flush);
  }

  readonly #flush = (): void => {
    this.#write();
    if (this.#writer) this.#settled = false;
  };

  readonly #write = (): void => {
    if (!this.#writer || !this.#dirty) return;
    // Where it fails (no room), the next change tries again.
    this.#dirty = !this.#writer.write(this.#cells, this.#slots);
  };
}
