import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import httpProxy from 'http-proxy';
import type { Connection } from '../connections/index.ts';
import { catalogue, type ErrorCode, messageOf } from '../errors.ts';
import { adopt, type Target, type Upstream } from '../upstream/index.ts';
import type { Forward } from './decide.ts';
import type { Reporter } from './exchange.ts';
import type { RequestHandler } from './handler.ts';
import { responseHeaders } from './headers.ts';
import { endPolitely, refusalText } from './last-words.ts';
import type { RequestHead } from './request.ts';

/** Hands connections that switch to another protocol (WebSocket and others, RFC 9110 §7.8) to an upstream, by http-proxy. */
export class UpgradeHandler {
  readonly #handler: RequestHandler;

  constructor(handler: RequestHandler) {
    this.#handler = handler;
  }

  /**
   * Takes over a connection on which a client asked for another protocol.
   * @param first what the client sent right behind the head of its request
   */
  handle(connection: Connection, head: RequestHead, socket: Socket, first: Buffer): void {
    const account = this.#handler.begin(connection, head);
    connection.begin();
    const decision = this.#handler.decide(connection, head);
    if (decision.kind === 'refuse') {
      account.report(decision.status, 0, decision.code);
      endPolitely(socket, refusalText(decision.status, decision.code));
      return;
    }
    void new Upgrade(decision, head.upgrade ?? '', connection, socket, this.#handler, account).run(first);
  }
}

/**
 * One connection on its way out of HTTP.
 *
 *   run ─▶ a connection to a target ─▶ the request, by http-proxy ─▶ 101: two pipes
 *                                                               └─▶ any other answer: passed on, then closed
 */
class Upgrade {
  readonly #forward: Forward;
  readonly #protocol: string;
  readonly #connection: Connection;
  readonly #client: Socket;
  readonly #handler: RequestHandler;
  readonly #reporter: Reporter;
  readonly #upstream: Upstream;
  #over = false;

  constructor(
    forward: Forward,
    protocol: string,
    connection: Connection,
    client: Socket,
    handler: RequestHandler,
    reporter: Reporter,
  ) {
    this.#forward = forward;
    this.#protocol = protocol;
    this.#connection = connection;
    this.#client = client;
    this.#handler = handler;
    this.#reporter = reporter;
    this.#upstream = handler.upstream(forward);
    client.on('error', () => {});
    client.once('close', () => this.#finish(499, null));
  }

  async run(first: Buffer): Promise<void> {
    const { target, socket, error } = await this.#upstream.connect();
    if (!socket) {
      this.#fail(502, 'UPSTREAM_UNREACHABLE', error, target);
      return;
    }
    if (this.#client.destroyed) {
      socket.destroy();
      return;
    }
    this.#tie(socket);
    this.#ask(target, socket, first);
  }

  /** Neither side outlives the other. */
  #tie(upstream: Socket): void {
    upstream.on('error', () => {});
    this.#client.once('close', () => endPolitely(upstream));
    upstream.once('close', () => endPolitely(this.#client));
  }

  #ask(target: Target, socket: Socket, first: Buffer): void {
    // One for each request: what it tells by its events is then about this one, and about no other that is asked at the same time.
    const proxy = httpProxy.createProxyServer({ ws: true, xfwd: false, agent: adopt(socket) });
    // Errors of the client's socket come this way; without a listener they would end the process.
    proxy.on('error', () => {});
    proxy.on('proxyReqWs', (outgoing: ClientRequest) => this.#sent(outgoing, target, socket));
    const { fields, requestId } = this.#forward;
    const own = { 'x-request-id': requestId, connection: 'Upgrade', upgrade: this.#protocol };
    const headers = { ...fieldsOf(fields.headers), ...own };
    // http-proxy lets nothing but a WebSocket pass; which protocol it is, and by which method, is the upstream's business.
    const request = {
      method: 'GET',
      url: '/',
      httpVersion: '1.1',
      httpVersionMajor: 1,
      headers: { upgrade: 'websocket' },
    };
    const options = { target: target.url, method: this.#forward.method, headers: headers as Record<string, string> };
    try {
      proxy.ws(request as unknown as IncomingMessage, this.#client, first, options, (error: Error) => {
        this.#fail(502, 'UPSTREAM_CLOSED', error, target);
      });
    } catch (error) {
      socket.destroy();
      this.#fail(400, 'REQUEST_MALFORMED', error, target);
    }
  }

  #sent(outgoing: ClientRequest, target: Target, socket: Socket): void {
    // As it came: http-proxy would take it apart and put it together again.
    outgoing.path = this.#forward.path;
    socket.setTimeout(this.#upstream.responseTimeout, () => {
      this.#fail(504, 'UPSTREAM_TIMEOUT', new Error('no answer in time'), target);
      socket.destroy();
    });
    outgoing.once('upgrade', (response: IncomingMessage) => {
      this.#edit(response, ['connection', 'Upgrade', 'upgrade', response.headers.upgrade ?? this.#protocol]);
      this.#connection.protocol = 'upgraded';
      this.#finish(101, null);
    });
    outgoing.once('response', (response: IncomingMessage) => {
      this.#edit(response, ['connection', 'close']);
      socket.setTimeout(this.#upstream.idleTimeout);
      this.#pace(response);
      this.#finish(response.statusCode ?? 502, null);
    });
  }

  /** Puts in place what http-proxy is about to write to the client. */
  #edit(response: IncomingMessage, own: readonly string[]): void {
    // It writes text; each character is one byte of what the upstream sent (RFC 9110 §5.5).
    this.#client.setDefaultEncoding('latin1');
    const edited = responseHeaders(response.rawHeaders, this.#forward.requestId);
    response.headers = fieldsOf([...edited, ...own]) as IncomingMessage['headers'];
  }

  /** http-proxy passes such a body on without asking whether the client can take it. */
  #pace(response: IncomingMessage): void {
    response.on('data', () => {
      if (!this.#client.writableNeedDrain) return;
      response.pause();
      this.#client.once('drain', () => response.resume());
    });
  }

  #fail(status: number, code: ErrorCode, error: unknown, target: Target | null): void {
    if (this.#over || this.#client.destroyed) return;
    this.#handler.logger.warn(
      { code, upstream: this.#upstream.name, target: target?.url.host, error: messageOf(error) },
      catalogue[code].summary,
    );
    endPolitely(this.#client, refusalText(status, code));
    this.#finish(status, code);
  }

  #finish(status: number, error: ErrorCode | null): void {
    if (this.#over) return;
    this.#over = true;
    const result = status === 499 ? 'aborted' : error === null ? 'success' : 'error';
    this.#handler.metrics.upstreamRequests.inc({ upstream: this.#upstream.name, result });
    this.#reporter.report(status, 0, error);
  }
}

function fieldsOf(headers: readonly string[]): Record<string, string | string[]> {
  // Without a prototype: a field may well be called `constructor`.
  const fields: Record<string, string | string[]> = Object.create(null);
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i]?.toLowerCase() ?? '';
    const value = headers[i + 1] ?? '';
    const before = fields[name];
    fields[name] = before === undefined ? value : [...(Array.isArray(before) ? before : [before]), value];
  }
  return fields;
}
