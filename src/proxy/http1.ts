import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import type { Connection } from '../connections/index.ts';
import { StreamBody } from './body.ts';
import type { RequestHandler } from './handler.ts';
import { Http1Responder } from './http1-responder.ts';
import { endPolitely, refusalText } from './last-words.ts';
import type { RequestHead } from './request.ts';
import { Turns } from './turns.ts';
import type { UpgradeHandler } from './upgrade.ts';

export interface Http1Options {
  /** Milliseconds a client may take to send the head of a request. */
  readonly headersTimeout: number;
  /** Milliseconds a connection may stay idle: between requests, or within one when it is the client's turn. */
  readonly idleTimeout: number;
  /** Bytes the head of a request may have. */
  readonly maxHeaderSize: number;
}

/** One HTTP/1.1 connection. */
interface Line {
  readonly connection: Connection;
  readonly turns: Turns;
  /** The request that is being received, as far as it came. */
  request: IncomingMessage | null;
  responder: Http1Responder | null;
  /** The parser has given up. */
  broken: boolean;
}

/** Speaks HTTP/1.1 on connections that were accepted elsewhere. */
export class Http1 {
  readonly #server: Server;
  readonly #handler: RequestHandler;
  readonly #upgrades: UpgradeHandler;
  readonly #lines = new WeakMap<Duplex, Line>();
  readonly #patience: number;

  constructor(handler: RequestHandler, upgrades: UpgradeHandler, options: Http1Options) {
    this.#handler = handler;
    this.#upgrades = upgrades;
    this.#patience = options.idleTimeout;
    this.#server = createServer({
      headersTimeout: options.headersTimeout,
      // Bodies may take as long as they move; the length of an upload is nobody's timeout.
      requestTimeout: 0,
      keepAliveTimeout: options.idleTimeout,
      connectionsCheckingInterval: Math.min(5000, options.headersTimeout),
      maxHeaderSize: options.maxHeaderSize,
      requireHostHeader: false,
      // Strict, whatever the command line of Node says.
      insecureHTTPParser: false,
      shouldUpgradeCallback: mayUpgrade,
    });
    // Bounded in bytes above; a bound in number would drop what is beyond it, a second Host too, without a word.
    this.#server.maxHeadersCount = 0;
    this.#server.on('request', (request, response) => this.#request(request, response));
    this.#server.on('checkContinue', (request, response) => this.#request(request, response));
    this.#server.on('checkExpectation', (request, response) => this.#request(request, response));
    this.#server.on('upgrade', (request, socket, first) => this.#upgrade(request, socket, first));
    this.#server.on('connect', (_request, socket) => this.#refuse(socket, 405, refusalText(405, 'REQUEST_METHOD')));
    this.#server.on('clientError', (error: Error & { code?: string }, socket) => this.#malformed(error, socket));
    // A server that never listens does not start its sweep for slow clients by itself.
    this.#server.emit('listening');
  }

  /** Takes over a connection. */
  serve(connection: Connection, socket: TLSSocket): void {
    connection.protocol = 'http/1.1';
    connection.handler = { ask: () => {}, close: () => socket.end() };
    this.#lines.set(socket, { connection, turns: new Turns(socket), request: null, responder: null, broken: false });
    // That is how `node:http` ends a connection; by itself it would reset it when a client has not been read to the end.
    socket.destroySoon = () => endPolitely(socket);
    this.#server.emit('connection', socket);
  }

  /** Ends the sweep for slow clients. */
  close(): void {
    this.#server.close();
  }

  #request(request: IncomingMessage, response: ServerResponse): void {
    const line = this.#lines.get(request.socket);
    if (!line) {
      request.socket.destroy();
      return;
    }
    const { connection, turns } = line;
    turns.take(() => {
      // What was lost of it will not come; what is to be said of that is said in the next turn.
      if (line.broken && !request.complete) {
        turns.done();
        return;
      }
      // Node's parser takes HTTP/0.9 and HTTP/2.0 too, and its answers follow other rules then.
      if (request.httpVersion !== '1.1' && request.httpVersion !== '1.0') {
        turns.end();
        this.#handler.refused(400);
        endPolitely(request.socket, refusalText(400, 'REQUEST_MALFORMED', 'Bad Request'));
        return;
      }
      connection.begin();
      line.request = request;
      line.responder = new Http1Responder(connection, response);
      // Node loses what it has read behind a request whose wish for another protocol was passed over.
      if (request.headers.upgrade !== undefined) response.shouldKeepAlive = false;
      response.once('close', () => {
        connection.end();
        turns.done();
      });
      const head = headOf(request);
      const body = head.hasBody ? new StreamBody(request, this.#patience, () => request.complete) : null;
      if (!body) request.resume();
      this.#handler.handle(connection, head, body, line.responder);
    });
  }

  #upgrade(request: IncomingMessage, socket: Duplex, first: Buffer): void {
    const line = this.#lines.get(socket);
    // Behind a request that is being answered it would be in two protocols at once.
    if (!line || line.turns.busy) {
      socket.destroy();
      return;
    }
    line.turns.end();
    const head = { ...headOf(request), upgrade: request.headers.upgrade ?? '' };
    this.#upgrades.handle(line.connection, head, socket as Socket, first);
  }

  /** What the parser itself refused. The socket is still whole: say why, then close. */
  #malformed(error: Error & { code?: string }, socket: Duplex): void {
    // Told again, with each piece of what the client still sends.
    if (socket.writableEnded) return;
    if (error.code === 'ECONNRESET' || !socket.writable) {
      socket.destroy();
      return;
    }
    const [status, text] = malformations[error.code ?? ''] ?? [400, 'Bad Request'];
    this.#refuse(socket, status, refusalText(status, 'REQUEST_MALFORMED', text));
  }

  /** Refuses what stands behind the requests that were handed out, or the rest of the last one of them. */
  #refuse(socket: Duplex, status: number, text: string): void {
    const line = this.#lines.get(socket);
    if (line) line.broken = true;
    if (!line?.turns.busy || line.request?.complete) {
      const refuse = () => {
        this.#handler.refused(status);
        endPolitely(socket as Socket, text);
      };
      if (line) line.turns.take(refuse);
      else refuse();
      return;
    }
    line.turns.end();
    line.responder?.abort();
    if (line.responder?.ended) endPolitely(socket as Socket);
    else if (line.responder?.started) socket.destroy();
    else endPolitely(socket as Socket, text);
  }
}

const malformations: Readonly<Record<string, [number, string]>> = {
  HPE_HEADER_OVERFLOW: [431, 'Request Header Fields Too Large'],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: [413, 'Chunk Extensions Too Large'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'Request Timeout'],
};

/**
 * HTTP/2 over plaintext is not spoken, HTTP/1.0 knows no upgrades (RFC 9110 §7.8), and what follows a request with a body is not yet
 * another protocol. Those wishes are passed over.
 */
function mayUpgrade({ headers, httpVersion }: IncomingMessage): boolean {
  if (httpVersion !== '1.1' || /^\s*h2c\b/i.test(headers.upgrade ?? '')) return false;
  return headers['transfer-encoding'] === undefined && (headers['content-length'] ?? '0') === '0';
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
