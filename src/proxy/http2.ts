import { constants, performServerHandshake, type ServerHttp2Stream } from 'node:http2';
import type { TLSSocket } from 'node:tls';
import type { Connection } from '../connections/index.ts';
import type { RequestHandler } from './handler.ts';
import { Http2Drain } from './http2-drain.ts';
import type { RequestHead } from './request.ts';
import type { Responder } from './responder.ts';

export interface Http2Options {
  /** Streams one connection may have open at once. */
  readonly maxConcurrentStreams: number;
  /** Bytes the head of a request may have. */
  readonly maxHeaderSize: number;
  /** Milliseconds a connection may stay idle. */
  readonly idleTimeout: number;
}

/**
 * Bytes that all uploads of one connection may have under way (RFC 9113 §6.9.2); 64 KiB, the default, throttles a single one. The larger
 * it is, the more often a session of Node 24 gets stuck when its client vanishes in the middle of many uploads.
 */
const connectionWindow = 256 * 1024;

/** Speaks HTTP/2 on connections that were accepted elsewhere. */
export class Http2 {
  readonly #handler: RequestHandler;
  readonly #options: Http2Options;

  constructor(handler: RequestHandler, options: Http2Options) {
    this.#handler = handler;
    this.#options = options;
  }

  /** Takes over a connection. */
  serve(connection: Connection, socket: TLSSocket): void {
    const session = performServerHandshake(socket, {
      maxSessionMemory: 16,
      maxHeaderListPairs: 200,
      maxOutstandingPings: 10,
      maxSendHeaderBlockLength: 256 * 1024,
      streamResetBurst: 200,
      streamResetRate: 33,
      // What the upstream repeats is passed on as it is.
      strictSingleValueFields: false,
      settings: {
        maxConcurrentStreams: this.#options.maxConcurrentStreams,
        maxHeaderListSize: this.#options.maxHeaderSize,
        initialWindowSize: 256 * 1024,
        enableConnectProtocol: false,
      },
    });
    connection.protocol = 'h2';
    const drain = new Http2Drain(session);
    connection.handler = drain;
    session.setLocalWindowSize(connectionWindow);
    session.on('error', () => {});
    session.setTimeout(this.#options.idleTimeout);
    session.on('timeout', () => {
      if (connection.idleSince !== null) session.close();
      // Every answer was given up or written, and no stream ends: the session is stuck.
      else if (unanswered.size === 0) connection.destroy();
      // A response that takes its time is not an idle connection.
      else session.setTimeout(this.#options.idleTimeout);
    });
    const unanswered = new Set<Http2Responder>();
    session.on('stream', (stream, _headers, _flags, rawHeaders) =>
      this.#stream(connection, drain, unanswered, stream, rawHeaders),
    );
  }

  #stream(
    connection: Connection,
    drain: Http2Drain,
    unanswered: Set<Http2Responder>,
    stream: ServerHttp2Stream,
    rawHeaders: string[],
  ): void {
    stream.on('error', () => {});
    connection.begin();
    drain.opened();
    stream.once('close', () => {
      connection.end();
      drain.ended();
    });
    const responder = new Http2Responder(stream, drain, () => unanswered.delete(responder));
    unanswered.add(responder);
    this.#handler.handle(connection, headOf(stream, rawHeaders), stream, responder);
  }
}

function headOf(stream: ServerHttp2Stream, rawHeaders: readonly string[]): RequestHead {
  const headers: string[] = [];
  const pseudo: Record<string, string> = {};
  let length: string | undefined;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? '';
    const value = rawHeaders[i + 1] ?? '';
    if (name.startsWith(':')) pseudo[name] = value;
    else {
      if (name === 'content-length') length = value;
      headers.push(name, value);
    }
  }
  const authority = pseudo[':authority'];
  return {
    method: pseudo[':method'] ?? 'GET',
    target: pseudo[':path'] ?? '/',
    version: '2.0',
    headers,
    ...(authority === undefined ? {} : { authority }),
    hasBody: !stream.endAfterHeaders && length !== '0',
  };
}

class Http2Responder implements Responder {
  readonly #stream: ServerHttp2Stream;
  readonly #drain: Http2Drain;
  #trailers: string[] = [];
  /** The answer was written to its end, or cut: that the stream closes is no loss. */
  #isOver = false;
  readonly #whenOver: () => void;
  onDrain = () => {};
  onAbort = () => {};

  constructor(stream: ServerHttp2Stream, drain: Http2Drain, whenOver: () => void) {
    this.#stream = stream;
    this.#drain = drain;
    this.#whenOver = whenOver;
    stream.on('drain', () => this.onDrain());
    stream.once('close', () => {
      if (!this.#isOver) this.onAbort();
      this.#over();
    });
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
    if (status === 204 || status === 205 || status === 304 || (stream as { headRequest?: boolean }).headRequest) {
      this.#drain.end(() => {
        this.#over();
        if (this.#usable) stream.respond({ ':status': status, ...toObject(headers) }, { endStream: true });
      });
      return;
    }
    stream.once('wantTrailers', () => this.#sendTrailers());
    stream.respond({ ':status': status, ...toObject(headers) }, { waitForTrailers: true });
  }

  write(chunk: Buffer): boolean {
    return this.#stream.writable ? this.#stream.write(chunk) : true;
  }

  end(trailers: string[]): void {
    this.#trailers = trailers;
    this.#drain.end(() => {
      this.#over();
      if (this.#stream.headersSent && this.#stream.writable) this.#stream.end();
    });
  }

  cut(): void {
    this.#over();
    this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  }

  #over(): void {
    this.#isOver = true;
    this.#whenOver();
  }

  get #usable(): boolean {
    return !this.#stream.destroyed && !this.#stream.closed && !this.#stream.headersSent;
  }

  #sendTrailers(): void {
    try {
      // Without any it is an empty DATA frame that ends the stream; `close()` would leave one with a request body open.
      this.#stream.sendTrailers(toObject(this.#trailers));
      // A client that still sends is asked to stop (RFC 9113 §8.1); after the trailers, which go out in a turn of their own.
      setImmediate(() => {
        if (!this.#stream.readableEnded && !this.#stream.destroyed) this.#stream.close(constants.NGHTTP2_NO_ERROR);
      });
    } catch {
      this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    }
  }
}

/** Fields as `node:http2` takes them: lower case, repeated ones as lists; nothing that concerns a connection (RFC 9113 §8.2.2). */
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
