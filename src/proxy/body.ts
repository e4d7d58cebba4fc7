import type { Readable } from 'node:stream';

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

/** What the client sent is no body (RFC 9112 §7.1). */
export class MalformedBody extends Error {
  readonly status: number;

  /** @param status 400, or 413 when it is too much of something */
  constructor(status: number) {
    super('the body of the request is malformed');
    this.status = status;
  }
}

/** Who takes the body of a request. Told nothing any more after `onBodyEnd` or `onBodyError`. */
export interface BodySink {
  /** @param chunk lent: it changes after the call */
  onBody(chunk: Buffer): void;
  onBodyEnd(): void;
  /** @param error ClientGone or ClientStalled, or another when what the client sent is no body */
  onBodyError(error: Error): void;
}

/** The body of a request, as its protocol receives it. */
export interface RequestBody {
  /** Whether anything was taken from it; then it cannot be sent a second time. */
  readonly started: boolean;
  /** Whether it is known already that nothing comes, though something might have. */
  readonly empty: boolean;
  /** Sends it to a sink, beginning at once with what is there. Called once. */
  pour(sink: BodySink): void;
  pause(): void;
  resume(): void;
  /** Nobody wants the rest. It is still read, for a while, so that its sender gets to see the answer. Idempotent. */
  discard(): void;
}

/** Milliseconds for which a body that nobody wants any more is still read. */
export const lingering = 30_000;

/** A body that comes as a stream. */
export class StreamBody implements RequestBody {
  readonly #from: Readable;
  readonly #patience: number;
  #sink: BodySink | null = null;
  #timer: NodeJS.Timeout | null = null;
  #started = false;

  readonly #ended: () => boolean;

  /**
   * @param patience milliseconds to wait for the client when something is wanted of it
   * @param ended whether the client has sent all of it
   */
  constructor(from: Readable, patience: number, ended: () => boolean = () => from.readableEnded) {
    this.#from = from;
    this.#patience = patience;
    this.#ended = ended;
  }

  get empty(): boolean {
    return !this.#started && this.#from.readableLength === 0 && this.#ended();
  }

  get started(): boolean {
    return this.#started;
  }

  pour(sink: BodySink): void {
    const from = this.#from;
    this.#started = true;
    this.#sink = sink;
    if (from.readableEnded) this.#end();
    else if (from.destroyed) this.#fail(new ClientGone());
    if (!this.#sink) return;
    from.on('data', this.#data);
    from.once('end', () => this.#end());
    from.once('error', () => this.#fail(new ClientGone()));
    from.once('close', () => this.#fail(new ClientGone()));
    this.#wait();
  }

  pause(): void {
    if (!this.#sink) return;
    this.#rest();
    this.#from.pause();
  }

  resume(): void {
    if (!this.#sink) return;
    this.#wait();
    this.#from.resume();
  }

  discard(): void {
    this.#letGo();
    discard(this.#from);
  }

  readonly #data = (chunk: Buffer): void => {
    if (!this.#sink) return;
    this.#timer?.refresh();
    this.#sink.onBody(chunk);
  };

  #end(): void {
    this.#letGo()?.onBodyEnd();
  }

  #fail(error: Error): void {
    const sink = this.#letGo();
    if (!sink) return;
    discard(this.#from);
    sink.onBodyError(error);
  }

  #letGo(): BodySink | null {
    const sink = this.#sink;
    this.#sink = null;
    this.#rest();
    this.#from.off('data', this.#data);
    return sink;
  }

  /** Something is wanted of the client. */
  #wait(): void {
    this.#timer ??= setTimeout(() => this.#fail(new ClientStalled()), this.#patience);
  }

  /** Nothing is wanted of the client for now. */
  #rest(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
  }
}

/**
 * Reads a body and drops it. A client that sends without looking at the answer would otherwise block, or lose the answer to a
 * reset; one that goes on for too long is cut off.
 */
function discard(body: Readable): void {
  if (body.destroyed || body.readableEnded) return;
  const timer = setTimeout(() => body.destroy(), lingering).unref();
  body.once('close', () => clearTimeout(timer));
  body.once('end', () => clearTimeout(timer));
  body.on('error', () => {});
  body.resume();
}
