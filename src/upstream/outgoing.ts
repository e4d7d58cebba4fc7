import type { Writable } from 'node:stream';

/** Octets of a block: what one read of a client's socket brings. */
const blockSize = 64 * 1024;

/** How much may wait to be written before its sender has to: one block that is under way is no reason yet. */
export const writableHighWaterMark = blockSize + 1;

/** Blocks that nobody uses, and how many are kept: fresh memory for each write costs more than all the rest of it. */
const spare: Buffer[] = [];
const mostSpare = 32;

/**
 * Collects what is to be written in one turn of the event loop, and writes it in as few blocks as it fits. TLS brings 16 KiB at a time, and
 * a system call for each is dear.
 */
export class Outgoing {
  readonly #to: Writable;
  #block: Buffer | null = null;
  #filled = 0;
  #scheduled = false;
  /** Blocks that were given to the stream, oldest first. */
  readonly #underWay: Buffer[] = [];

  constructor(to: Writable) {
    this.#to = to;
  }

  /** @param text each character is one octet; shorter than a block */
  text(text: string): void {
    if (text.length > this.#room) this.flush();
    this.#filled += this.#open().write(text, this.#filled, 'latin1');
  }

  /** @param bytes lent: they may change after the call */
  bytes(bytes: Buffer): void {
    let from = 0;
    while (from < bytes.length) {
      if (this.#room === 0) this.flush();
      const copied = bytes.copy(this.#open(), this.#filled, from);
      this.#filled += copied;
      from += copied;
    }
  }

  /** Writes what was collected, once this turn of the event loop is over. */
  flushSoon(): void {
    if (this.#scheduled || this.#filled === 0) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.flush();
    });
  }

  /** Writes what was collected. */
  flush(): void {
    const block = this.#block;
    if (!block || this.#filled === 0) return;
    const octets = this.#filled === blockSize ? block : block.subarray(0, this.#filled);
    this.#block = null;
    this.#filled = 0;
    this.#underWay.push(block);
    this.#to.write(octets, this.#written);
  }

  #open(): Buffer {
    this.#block ??= spare.pop() ?? Buffer.allocUnsafeSlow(blockSize);
    return this.#block;
  }

  get #room(): number {
    return blockSize - this.#filled;
  }

  // Writes are completed in the order in which they were made; those that fail, in any order.
  readonly #written = (error?: Error | null): void => {
    const block = this.#underWay.shift();
    if (block && !error && spare.length < mostSpare) spare.push(block);
  };
}
