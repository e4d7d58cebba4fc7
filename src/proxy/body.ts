import { Readable } from 'node:stream';

/** The client went away: no fault of the upstream's. */
export class ClientGone extends Error {
  constructor() {
    super('the client went away');
  }
}

/** The client stopped sending in the middle of a body. */
export class ClientStalled extends Error {
  constructor() {
    super('the client stopped sending');
  }
}

/** Milliseconds for which a body that nobody wants any more is still read, so that its sender gets to see the answer. */
const lingering = 30_000;

/**
 * The body of a request on its way upstream. Stands between the client's stream and undici, because undici destroys the body it
 * was given when a request fails, and destroying the client's own stream would take the connection with it, answer unsent.
 *
 * It ends, or is destroyed with ClientGone or ClientStalled, or is destroyed by its reader; then the rest is discarded.
 */
export class RequestBody extends Readable {
  readonly #from: Readable;
  readonly #patience: number;
  #timer: NodeJS.Timeout | null = null;
  #started = false;

  /** @param patience milliseconds to wait for the client when something is wanted of it */
  constructor(from: Readable, patience: number) {
    super();
    this.#from = from;
    this.#patience = patience;
    // It also comes by way of undici, when that still cares; a body that nobody reads must not end the process.
    this.on('error', () => {});
  }

  /** Whether anything was read from the client; then it cannot be sent a second time. */
  get started(): boolean {
    return this.#started;
  }

  override _read(): void {
    if (!this.#started) this.#start();
    this.#wait();
    this.#from.resume();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#rest();
    this.#from.off('data', this.#data);
    discard(this.#from);
    done(error);
  }

  #start(): void {
    this.#started = true;
    if (this.#from.readableEnded || this.#from.destroyed) {
      if (this.#from.readableEnded) this.push(null);
      else this.destroy(new ClientGone());
      return;
    }
    this.#from.on('data', this.#data);
    this.#from.once('end', () => {
      this.#rest();
      this.push(null);
    });
    this.#from.once('error', () => this.destroy(new ClientGone()));
    this.#from.once('close', () => {
      if (!this.#from.readableEnded) this.destroy(new ClientGone());
    });
  }

  readonly #data = (chunk: Buffer): void => {
    this.#rest();
    if (this.push(chunk)) this.#wait();
    else this.#from.pause();
  };

  /** Something is wanted of the client. */
  #wait(): void {
    if (this.destroyed || this.#from.readableEnded) return;
    this.#timer ??= setTimeout(() => this.destroy(new ClientStalled()), this.#patience);
  }

  /** Nothing is wanted of the client for now. */
  #rest(): void {
    clearTimeout(this.#timer ?? undefined);
    this.#timer = null;
  }
}

/**
 * Reads a body and drops it. A client that sends without looking at the answer would otherwise block, or lose the answer to a
 * reset; one that goes on for too long is cut off.
 */
export function discard(body: Readable): void {
  if (body.destroyed || body.readableEnded) return;
  const timer = setTimeout(() => body.destroy(), lingering).unref();
  body.once('close', () => clearTimeout(timer));
  body.once('end', () => clearTimeout(timer));
  body.on('error', () => {});
  body.resume();
}
