import type { ServerResponse } from 'node:http';
import type { Connection } from '../connections/index.ts';
import { connectionOptions, hasField } from './headers.ts';
import type { Answerer, Responder } from './responder.ts';

const nothing = Buffer.alloc(0);

/** Writes an answer as HTTP/1.1, or HTTP/1.0 to a client that speaks that. */
export class Http1Responder implements Responder {
  readonly #connection: Connection;
  readonly #response: ServerResponse;
  /** The end of the body is that of the connection: neither length nor chunks tell it (RFC 9112 §6.3). */
  #endsWithConnection = false;
  #answerer: Answerer | null = null;

  constructor(connection: Connection, response: ServerResponse) {
    this.#connection = connection;
    this.#response = response;
    response.on('drain', () => this.#answerer?.onDrain());
    response.once('close', () => {
      if (!response.writableFinished) this.abort();
    });
  }

  attach(answerer: Answerer): void {
    this.#answerer = answerer;
  }

  /** The client went away, or cannot be understood any more. */
  abort(): void {
    this.#answerer?.onAbort();
  }

  /** Whether anything of the answer was written. */
  get started(): boolean {
    return this.#response.headersSent;
  }

  /** Whether all of it was. */
  get ended(): boolean {
    return this.#response.writableEnded;
  }

  continue(): void {
    this.#response.writeContinue();
  }

  inform(status: number, headers: string[]): void {
    // HTTP/1.0 clients do not know interim responses (RFC 9110 §15.2).
    if (this.#response.req.httpVersion === '1.0') return;
    try {
      this.#response.writeInformation(status, headers);
    } catch {
      // An interim response that Node holds to be malformed is not worth a request.
    }
  }

  head(status: number, headers: string[]): void {
    const response = this.#response;
    const edited = this.#reframe(status, headers);
    if (this.#connection.last && !connectionOptions(edited).has('close')) edited.push('connection', 'close');
    response.writeHead(status, edited);
    // Server-sent events and the like: the head does not wait for the body. What is written in the same tick goes in the same packet.
    // (`flushHeaders` would send it alone, and as UTF-8.)
    response.write(nothing);
  }

  write(chunk: Buffer): boolean {
    return this.#response.write(Buffer.from(chunk));
  }

  // Each head goes with what follows in the same tick, without being asked.
  flush(): void {}

  end(trailers: string[]): void {
    const response = this.#response;
    const pairs: [string, string][] = [];
    for (let i = 0; i < trailers.length; i += 2) pairs.push([trailers[i] ?? '', trailers[i + 1] ?? '']);
    if (pairs.length > 0) response.addTrailers(pairs);
    response.end();
  }

  cut(): void {
    // A mere close would look like the end of such a body.
    if (this.#endsWithConnection) this.#connection.socket.resetAndDestroy();
    this.#response.destroy();
  }

  /**
   * A body without chunks has no trailers to announce (RFC 9110 §6.6.2), and an answer 204 no length (RFC 9110 §8.6).
   */
  #reframe(status: number, headers: string[]): string[] {
    const { method, httpVersion } = this.#response.req;
    const sized = hasField(headers, 'content-length');
    const bodiless = status === 204 || status === 304 || method === 'HEAD';
    this.#endsWithConnection = !sized && !bodiless && httpVersion === '1.0';
    const chunked = !sized && !bodiless && httpVersion !== '1.0';
    const edited: string[] = [];
    for (let i = 0; i < headers.length; i += 2) {
      const name = headers[i]?.toLowerCase();
      if ((name === 'trailer' && !chunked) || (name === 'content-length' && status === 204)) continue;
      edited.push(headers[i] ?? '', headers[i + 1] ?? '');
    }
    return edited;
  }
}
