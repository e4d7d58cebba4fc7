import type { Duplex } from 'node:stream';

export interface ChannelOptions {
  /** Bytes that a message may have. */
  readonly longest: number;
  /** Takes each message. What it throws breaks the channel. */
  readonly heard: (message: unknown) => void;
  /** The other side is gone, or, with an error, sent what is no message. Called once. */
  readonly ended: (error: Error | null) => void;
}

/**
 * Messages over a pipe, each a line of JSON. Unlike the channel of `node:child_process` it throws out of no event handler whatever the
 * other side writes, and does not collect a message without end.
 */
export class Channel {
  readonly #stream: Duplex;
  readonly #options: ChannelOptions;
  #parts: Buffer[] = [];
  #length = 0;
  #ended = false;

  constructor(stream: Duplex, options: ChannelOptions) {
    this.#stream = stream;
    this.#options = options;
    stream.on('data', (chunk: Buffer) => this.#guard(() => this.#take(chunk)));
    stream.on('close', () => this.#end(null));
    // The other side ended while it was written to: `close` follows.
    stream.on('error', () => {});
  }

  /** Resolves when the system has taken the message over, or never will. */
  send(message: object): Promise<void> {
    return new Promise((resolve) => {
      this.#stream.write(`${JSON.stringify(message)}\n`, () => resolve());
    });
  }

  #take(chunk: Buffer): void {
    let rest = chunk;
    for (let end = rest.indexOf(10); end !== -1 && !this.#ended; end = rest.indexOf(10)) {
      this.#keep(rest.subarray(0, end));
      const line = Buffer.concat(this.#parts).toString('utf8');
      this.#parts = [];
      this.#length = 0;
      rest = rest.subarray(end + 1);
      this.#options.heard(JSON.parse(line));
    }
    this.#keep(rest);
  }

  #keep(part: Buffer): void {
    this.#length += part.length;
    if (this.#length > this.#options.longest) throw new RangeError('a message is too long');
    this.#parts.push(part);
  }

  #guard(run: () => void): void {
    if (this.#ended) return;
    try {
      run();
    } catch (error) {
      this.#parts = [];
      this.#end(error instanceof Error ? error : new Error('no message'));
      this.#stream.destroy();
    }
  }

  #end(error: Error | null): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#options.ended(error);
  }
}
