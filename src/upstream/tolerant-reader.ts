import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import { Duplex } from 'node:stream';
import { WireError } from './wire-error.ts';

/** Octets that the head of a response may have. */
export const maxHeadSize = 64 * 1024;

/** What is told of a response. */
export interface ResponseEvents {
  /** An interim response (RFC 9110 §15.2). */
  onInform(status: number, headers: string[]): void;
  /** @param endsWithConnection nothing but the end of the connection tells the end of the body (RFC 9112 §6.3) */
  onHead(status: number, headers: string[], endsWithConnection: boolean): void;
  /** @param chunk lent: its octets change after the call */
  onData(chunk: Buffer): void;
  /** @param trailers names and values in turn */
  onEnd(trailers: string[]): void;
  onError(error: Error): void;
}

/**
 * Reads a response that is not plainly well-formed with Node's own parser, which knows the hard cases and refuses what is too hard. The request
 * was sent already: what the parser's client would send goes nowhere.
 */
export class TolerantReader {
  readonly #events: ResponseEvents;
  readonly #pipe: Pipe;
  readonly #request: ClientRequest;
  #response: IncomingMessage | null = null;
  #over = false;

  /** @param wanted called when it can take more, after `read` returned false */
  constructor(method: string, events: ResponseEvents, wanted: () => void) {
    this.#events = events;
    this.#pipe = new Pipe(wanted);
    const createConnection = () => this.#pipe;
    this.#request = request({
      method,
      path: '/',
      maxHeaderSize: maxHeadSize,
      insecureHTTPParser: false,
      createConnection,
    });
    this.#request.on('information', ({ statusCode, rawHeaders }) => this.#events.onInform(statusCode, rawHeaders));
    this.#request.on('response', (response) => this.#respond(response));
    this.#request.on('upgrade', () => this.#fail(new WireError('invalid', 'it changed the protocol unasked')));
    this.#request.on('error', (error: Error & { code?: string }) => {
      const early = error.code === 'ECONNRESET';
      this.#fail(early ? new WireError('closed') : new WireError('invalid', error.message));
    });
    this.#request.end();
  }

  /** @returns false when it can take no more for now */
  read(chunk: Buffer): boolean {
    return this.#pipe.push(Buffer.from(chunk));
  }

  /** The connection ended: in the way it should, or by an error. */
  end(error: Error | null): void {
    if (error) this.#fail(error);
    else this.#pipe.push(null);
  }

  pause(): void {
    this.#response?.pause();
  }

  resume(): void {
    this.#response?.resume();
  }

  /** Tells nothing any more. */
  destroy(): void {
    this.#over = true;
    this.#request.destroy();
  }

  #respond(response: IncomingMessage): void {
    this.#response = response;
    const { statusCode = 0, rawHeaders, headers } = response;
    // Node takes any three digits (RFC 9110 §15).
    if (statusCode < 200) {
      this.#fail(new WireError('invalid', 'its status is none'));
      return;
    }
    response.on('data', (chunk: Buffer) => this.#over || this.#events.onData(chunk));
    response.on('error', (error) => this.#fail(error));
    response.on('end', () => {
      if (this.#over) return;
      this.#over = true;
      this.#events.onEnd(response.rawTrailers);
    });
    const framed = headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined;
    if (!this.#over) this.#events.onHead(statusCode, rawHeaders, !framed);
  }

  #fail(error: Error): void {
    if (this.#over) return;
    this.#over = true;
    this.#events.onError(error);
    this.#request.destroy();
  }
}

/** What the parser takes for its connection. */
class Pipe extends Duplex {
  readonly #wanted: () => void;

  constructor(wanted: () => void) {
    super({ allowHalfOpen: true });
    this.#wanted = wanted;
  }

  override _read(): void {
    this.#wanted();
  }

  override _write(_chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    done();
  }
}
