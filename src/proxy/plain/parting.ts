import type { TLSSocket } from 'node:tls';
import { flushing, patience } from '../last-words.ts';

/**
 * A connection whose last answer was written, until the client ends its side. As `endPolitely`, without timers of its own: a sweep looks
 * at it.
 *
 *   writing ─ all of it has left ─▶ waiting
 */
export class Parting {
  readonly #socket: TLSSocket;
  #state: 'writing' | 'waiting' = 'writing';
  /** When it was first seen in its state, monotonic milliseconds. */
  #since: number | null = null;

  constructor(socket: TLSSocket) {
    this.#socket = socket;
    socket.end();
    socket.resume();
  }

  /** Ends it for a client that takes too long. @param now monotonic milliseconds */
  check(now: number): void {
    if (this.#since === null) this.#since = now;
    else if (this.#state === 'writing' && this.#socket.writableFinished) {
      this.#state = 'waiting';
      this.#since = now;
    } else if (now - this.#since >= (this.#state === 'writing' ? flushing : patience)) this.#socket.destroy();
  }
}
