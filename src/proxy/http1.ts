import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import type { Connection } from '../connections/index.ts';
import type { Responder } from './exchange.ts';
import type { RequestHandler } from './handler.ts';
import { connectionOptions } from './headers.ts';
import type { RequestHead } from './request.ts';
import type { UpgradeHandler } from './upgrade.ts';

export interface Http1Options {
  /** Milliseconds a client may take to send the head of a request. */
  readonly headersTimeout: number;
  /** Milliseconds a connection may stay idle between requests. */
  readonly idleTimeout: number;
  /** Bytes the head of a request may have. */
  readonly maxHeaderSize: number;
}

/** Speaks HTTP/1.1 on connections that were accepted elsewhere. */
export class Http1 {
  readonly #server: Server;
  readonly #handler: RequestHandler;
  readonly #upgrades: UpgradeHandler;
  readonly #connections = new WeakMap<Duplex, Connection>();

  constructor(handler: RequestHandler, upgrades: UpgradeHandler, options: Http1Options) {
    this.#handler = handler;
    this.#upgrades = upgrades;
    this.#server = createServer({
      headersTimeout: options.headersTimeout,
      // Bodies may take as long as they move; the length of an upload is nobody's timeout.
      requestTimeout: 0,
      keepAliveTimeout: options.idleTimeout,
      connectionsCheckingInterval: Math.min(5000, options.headersTimeout),
      maxHeaderSize: options.maxHeaderSize,
      requireHostHeader: false,
      // HTTP/2 over plaintext is not spoken; a wish for it is passed over (RFC 9110 §7.8).
      shouldUpgradeCallback: (request) => !/^\s*h2c\b/i.test(request.headers.upgrade ?? ''),
    });
    this.#server.on('request', (request, response) => this.#request(request, response));
    this.#server.on('checkContinue', (request, response) => this.#request(request, response));
    this.#server.on('checkExpectation', (request, response) => this.#request(request, response));
    this.#server.on('upgrade', (request, socket, first) => this.#upgrade(request, socket, first));
    this.#server.on('connect', (_request, socket) => {
      socket.end('HTTP/1.1 405 Method Not Allowed\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
    });
    this.#server.on('clientError', (error: Error & { code?: string }, socket) => refuseMalformed(error, socket));
    // A server that never listens does not start its sweep for slow clients by itself.
    this.#server.emit('listening');
  }

  /** Takes over a connection. */
  serve(connection: Connection, socket: TLSSocket): void {
    connection.protocol = 'http/1.1';
    connection.handler = { ask: () => {}, close: () => socket.end() };
    this.#connections.set(socket, connection);
    this.#server.emit('connection', socket);
  }

  /** Ends the sweep for slow clients. */
  close(): void {
    this.#server.close();
  }

  #request(request: IncomingMessage, response: ServerResponse): void {
    const connection = this.#connections.get(request.socket);
    if (!connection) {
      request.socket.destroy();
      return;
    }
    connection.begin();
    response.once('close', () => connection.end());
    this.#handler.handle(connection, headOf(request), request, new Http1Responder(connection, response));
  }

  #upgrade(request: IncomingMessage, socket: Duplex, first: Buffer): void {
    const connection = this.#connections.get(socket);
    if (!connection) {
      socket.destroy();
      return;
    }
    const head = { ...headOf(request), upgrade: request.headers.upgrade ?? '' };
    this.#upgrades.handle(connection, head, request, socket, first);
  }
}

function headOf(request: IncomingMessage): RequestHead {
  const { headers } = request;
  return {
    method: request.method ?? 'GET',
    target: request.url ?? '/',
    version: request.httpVersion === '1.0' ? '1.0' : '1.1',
    headers: request.rawHeaders,
    hasBody: headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0',
  };
}

/** What the parser itself refused. The socket is still whole: say why, then close. */
function refuseMalformed(error: Error & { code?: string }, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const [status, text] =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? [431, 'Request Header Fields Too Large']
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? [408, 'Request Timeout']
        : [400, 'Bad Request'];
  const body = `REQUEST_MALFORMED: ${text}\n`;
  socket.end(
    `HTTP/1.1 ${status} ${text}\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
}

class Http1Responder implements Responder {
  readonly #connection: Connection;
  readonly #response: ServerResponse;
  onDrain = () => {};
  onAbort = () => {};

  constructor(connection: Connection, response: ServerResponse) {
    this.#connection = connection;
    this.#response = response;
    response.on('drain', () => this.onDrain());
    response.once('close', () => {
      if (!response.writableFinished) this.onAbort();
    });
  }

  continue(): void {
    this.#response.writeContinue();
  }

  inform(status: number, headers: string[]): void {
    // HTTP/1.0 clients do not know interim responses (RFC 9110 §15.2).
    if (status !== 103 || this.#response.req.httpVersion === '1.0') return;
    const hints: Record<string, string[]> = {};
    for (let i = 0; i < headers.length; i += 2) {
      const name = headers[i]?.toLowerCase() ?? '';
      hints[name] = [...(hints[name] ?? []), headers[i + 1] ?? ''];
    }
    try {
      if (hints['link']) this.#response.writeEarlyHints(hints);
    } catch {
      // A hint that Node holds to be malformed is not worth a request.
    }
  }

  head(status: number, headers: string[]): void {
    const response = this.#response;
    const edited = this.#reframe(status, headers);
    if (this.#connection.last && !connectionOptions(edited).has('close')) edited.push('connection', 'close');
    response.writeHead(status, edited);
    // Server-sent events and the like: the head does not wait for the first byte of the body.
    response.flushHeaders();
  }

  write(chunk: Buffer): boolean {
    return this.#response.write(chunk);
  }

  end(trailers: string[]): void {
    const response = this.#response;
    if (trailers.length > 0 && response.hasHeader !== undefined) {
      const pairs: [string, string][] = [];
      for (let i = 0; i < trailers.length; i += 2) pairs.push([trailers[i] ?? '', trailers[i + 1] ?? '']);
      response.addTrailers(pairs);
    }
    response.end();
  }

  cut(): void {
    this.#response.destroy();
  }

  /** A body with a known length takes no trailers (RFC 9112 §7.1.2), and one of 204 no length (RFC 9110 §8.6). */
  #reframe(status: number, headers: string[]): string[] {
    const edited: string[] = [];
    const sized = headers.some((name, i) => i % 2 === 0 && name.toLowerCase() === 'content-length');
    for (let i = 0; i < headers.length; i += 2) {
      const name = headers[i]?.toLowerCase();
      if (name === 'trailer' && (sized || status === 204 || status === 304)) continue;
      if (name === 'content-length' && status === 204) continue;
      edited.push(headers[i] ?? '', headers[i + 1] ?? '');
    }
    return edited;
  }
}
