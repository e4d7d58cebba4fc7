import type { DestinationStream } from 'pino';

/** From this level on (pino's number for warnings) a line is not held back. */
const urgent = 40;

const metadata: unique symbol = Symbol.for('pino.metadata');

/**
 * Writes the lines of one turn of the event loop together: with one for each request, a write for each costs more than making it. A warning, or
 * what is graver, goes out at once, with everything before it; and nothing stays behind when the process ends by itself.
 */
export class TurnBatch implements DestinationStream {
  /** Asks pino to set `lastLevel` before each line. */
  readonly [metadata] = true;
  lastLevel = 0;
  readonly #to: DestinationStream;
  #lines = '';
  #scheduled = false;

  constructor(to: DestinationStream) {
    this.#to = to;
    process.once('exit', this.#flush);
  }

  write(line: string): void {
    this.#lines += line;
    if (this.lastLevel >= urgent) {
      this.#flush();
      return;
    }
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#flush);
  }

  readonly #flush = (): void => {
    this.#scheduled = false;
    const lines = this.#lines;
    this.#lines = '';
    if (lines !== '') this.#to.write(lines);
  };
}
