import type { Socket } from 'node:net';

/**
 * Requests that may wait. No client pipelines as many; a flood is cut off here, because `node:http` reads on whatever happens to
 * what it has read.
 */
const tooMany = 1000;

/**
 * Takes the requests of one HTTP/1.1 connection one after another. `node:http` hands out pipelined requests as fast as it parses them,
 * those behind one that ends the connection as well; a proxy that sent them on at once would run them side by side, whatever their
 * methods (RFC 9112 §9.3.2), and send on what a refusal was meant to stop.
 */
export class Turns {
  readonly #socket: Socket;
  readonly #waiting: (() => void)[] = [];
  #busy = false;
  #over = false;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.once('close', () => this.end());
  }

  /** Whether a request is being answered. */
  get busy(): boolean {
    return this.#busy;
  }

  /** Runs a turn, at once or when those before it are over. */
  take(turn: () => void): void {
    if (this.#over) return;
    if (!this.#busy) {
      this.#busy = true;
      turn();
    } else if (this.#waiting.length < tooMany) this.#waiting.push(turn);
    else this.#socket.destroy();
  }

  /** The current turn is over. */
  done(): void {
    this.#busy = false;
    // The answer said that it is the last one.
    if (!this.#socket.writable) this.end();
    const next = this.#waiting.shift();
    if (next) this.take(next);
  }

  /** No more turns. */
  end(): void {
    this.#over = true;
    this.#waiting.length = 0;
  }
}
