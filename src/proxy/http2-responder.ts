import type { OutgoingHttpHeaders } from 'node:http';
import { constants, type ServerHttp2Stream, type ServerStreamResponseOptions } from 'node:http2';
import type { Connection } from '../connections/index.ts';
import type { Http2Drain } from './http2-drain.ts';
import type { Answerer, Responder } from './responder.ts';

/** One HTTP/2 connection, as its streams know it. */
export interface Http2Line {
  readonly connection: Connection;
  readonly drain: Http2Drain;
  /** Streams of which the answer is neither written to its end nor given up. */
  unanswered: number;
}

const responderOf = Symbol('responder');
type AnsweredStream = ServerHttp2Stream & { [responderOf]?: Http2Responder | undefined };

const complete: ServerStreamResponseOptions = {};

// One of each for all streams.
function ignore(): void {}
function onClose(this: AnsweredStream): void {
  this[responderOf]?.closed();
}
function onDrain(this: AnsweredStream): void {
  this[responderOf]?.drained();
}
function onWantTrailers(this: AnsweredStream): void {
  this[responderOf]?.sendTrailers();
}

/** Writes an answer as HTTP/2. */
export class Http2Responder implements Responder {
  readonly #stream: ServerHttp2Stream;
  readonly #line: Http2Line;
  #answerer: Answerer | null = null;
  /** Held until it is known whether all of the answer is at hand. */
  #head: string[] | null = null;
  /** What was written last: held until it is known whether it is the end, so that both go in one frame. */
  #held: Buffer | null = null;
  #trailers: string[] = [];
  /** The answer was written to its end, or cut: that the stream closes is no loss. */
  #isOver = false;

  constructor(stream: ServerHttp2Stream, line: Http2Line) {
    this.#stream = stream;
    this.#line = line;
    line.unanswered += 1;
    line.connection.begin();
    line.drain.opened();
    (stream as AnsweredStream)[responderOf] = this;
    stream.on('error', ignore);
    stream.on('close', onClose);
    stream.on('drain', onDrain);
  }

  attach(answerer: Answerer): void {
    this.#answerer = answerer;
  }

  /** The stream is gone. */
  closed(): void {
    if (!this.#isOver) {
      this.#over();
      this.#answerer?.onAbort();
    }
    this.#line.connection.end();
    this.#line.drain.ended();
    // Node keeps a stream in memory until the next large collection of garbage, long after its end, and all that hangs on it.
    (this.#stream as AnsweredStream)[responderOf] = undefined;
    this.#answerer = null;
  }

  drained(): void {
    this.#answerer?.onDrain();
  }

  continue(): void {
    if (this.#usable) this.#stream.additionalHeaders({ ':status': 100 });
  }

  inform(status: number, headers: string[]): void {
    if (this.#usable) this.#stream.additionalHeaders({ ':status': status, ...toObject(headers) });
  }

  head(status: number, headers: string[]): void {
    if (!this.#usable) return;
    const stream = this.#stream;
    this.#head = toFields(status, headers);
    if (status === 204 || status === 205 || status === 304 || (stream as { headRequest?: boolean }).headRequest) {
      this.#line.drain.end(() => {
        this.#over();
        if (this.#usable) this.#respond({ endStream: true });
      });
    }
  }

  write(chunk: Buffer): boolean {
    if (!this.#stream.writable) return true;
    if (this.#held) this.flush();
    this.#held = Buffer.from(chunk);
    return !this.#stream.writableNeedDrain;
  }

  flush(): void {
    const held = this.#held;
    this.#held = null;
    this.#begin();
    if (held && this.#stream.writable) this.#stream.write(held);
  }

  end(trailers: string[]): void {
    this.#trailers = trailers;
    if (trailers.length > 0) this.#begin();
    if (!this.#line.drain.holds) {
      this.#end();
      return;
    }
    this.flush();
    this.#line.drain.end(() => this.#end());
  }

  cut(): void {
    this.#over();
    this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  }

  sendTrailers(): void {
    try {
      // Without any it is an empty DATA frame that ends the stream; `close()` would leave one with a request body open.
      this.#stream.sendTrailers(toObject(this.#trailers));
      // After the trailers, which go out in a turn of their own.
      setImmediate(() => this.#stopReading());
    } catch {
      this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    }
  }

  /**
   * Begins an answer that does not end yet. Its end is told by a frame of its own, as trailers are: Node would end the stream in the proper way before
   * it resets it, and a cut answer would look complete.
   */
  #begin(): void {
    if (!this.#head || !this.#usable) return;
    this.#stream.on('wantTrailers', onWantTrailers);
    this.#respond({ waitForTrailers: true });
  }

  #respond(options: ServerStreamResponseOptions): void {
    const head = this.#head as unknown as OutgoingHttpHeaders;
    this.#head = null;
    this.#stream.respond(head, options);
  }

  #end(): void {
    const stream = this.#stream;
    const held = this.#held;
    this.#held = null;
    this.#over();
    if (this.#head && this.#usable) this.#respond(complete);
    if (!stream.headersSent || !stream.writable) return;
    if (held) stream.end(held);
    else stream.end();
    if (!(stream as { endAfterHeaders?: boolean }).endAfterHeaders && !stream.readableEnded) {
      stream.once('finish', () => this.#stopReading());
    }
  }

  /** A client that still sends is asked to stop (RFC 9113 §8.1). */
  #stopReading(): void {
    const stream = this.#stream;
    if (!stream.readableEnded && !stream.destroyed) stream.close(constants.NGHTTP2_NO_ERROR);
  }

  #over(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#line.unanswered -= 1;
  }

  get #usable(): boolean {
    return !this.#stream.destroyed && !this.#stream.closed && !this.#stream.headersSent;
  }
}

/** Fields in turn, as `node:http2` takes them: lower case; nothing that concerns a connection (RFC 9113 §8.2.2). */
function toFields(status: number, headers: readonly string[]): string[] {
  // Node refuses to send what is no status (RFC 9110 §15); such an answer is an error of the upstream's.
  const fields = [':status', String(status > 599 ? 502 : status)];
  for (let i = 0; i < headers.length; i += 2) {
    const name = (headers[i] as string).toLowerCase();
    if (name !== 'connection') fields.push(name, headers[i + 1] as string);
  }
  return fields;
}

/** As an object, repeated ones as lists. */
function toObject(headers: readonly string[]): Record<string, string | string[]> {
  const object: Record<string, string | string[]> = Object.create(null);
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i]?.toLowerCase() ?? '';
    const value = headers[i + 1] ?? '';
    if (name === 'connection') continue;
    const before = object[name];
    if (before === undefined) object[name] = value;
    else object[name] = Array.isArray(before) ? [...before, value] : [before, value];
  }
  return object;
}
