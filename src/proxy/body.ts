import { Readable } from 'node:stream';

/**
 * The body of a request on its way upstream. Stands between the client's stream and undici, because undici destroys the body it
 * was given when a request fails, and destroying the client's own stream would take the connection with it, answer unsent.
 */
export class RequestBody extends Readable {
  readonly #from: Readable;
  #started = false;
  /** Whether anything was read from the client; then it cannot be sent a second time. */
  get started(): boolean {
    return this.#started;
  }

  constructor(from: Readable) {
    super();
    this.#from = from;
  }

  override _read(): void {
    if (!this.#started) this.#start();
    this.#from.resume();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#from.off('data', this.#data);
    // What is still to come is read and dropped, so that the answer can be read by a client that is still sending.
    if (!this.#from.destroyed) this.#from.resume();
    done(error);
  }

  #start(): void {
    this.#started = true;
    this.#from.on('data', this.#data);
    this.#from.once('end', () => this.push(null));
    this.#from.once('error', (error) => this.destroy(error));
    this.#from.once('close', () => {
      if (!this.#from.readableEnded) this.destroy(new Error('the client went away'));
    });
  }

  readonly #data = (chunk: Buffer): void => {
    if (!this.push(chunk)) this.#from.pause();
  };
}
