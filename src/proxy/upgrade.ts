import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import httpProxy from 'http-proxy';
import type { Connection } from '../connections/index.ts';
import { catalogue, type ErrorCode, messageOf, systemCode } from '../errors.ts';
import type { RequestHandler } from './handler.ts';
import type { RequestHead } from './request.ts';

type Pass = (request: IncomingMessage, socket: Duplex, ...rest: unknown[]) => unknown;

/** Hands connections that switch to another protocol (WebSocket and others, RFC 9110 §7.8) to an upstream, by http-proxy. */
export class UpgradeHandler {
  readonly #handler: RequestHandler;
  readonly #proxy = httpProxy.createProxyServer({ ws: true, xfwd: false, prependPath: false, toProxy: true });

  constructor(handler: RequestHandler) {
    this.#handler = handler;
    // Its first pass destroys whatever is not a WebSocket; other protocols are upgraded in the same way.
    const internals = this.#proxy as unknown as { wsPasses: Pass[] };
    internals.wsPasses = internals.wsPasses.filter((pass) => pass.name !== 'checkMethodAndHeader');
    this.#proxy.on('proxyReqWs', (outgoing: ClientRequest, _request: unknown, socket: Duplex) => {
      // A client that leaves while the upstream thinks takes its request with it.
      socket.once('close', () => outgoing.destroy());
    });
  }

  /** Takes over a connection on which a client asked for another protocol. */
  handle(connection: Connection, head: RequestHead, request: IncomingMessage, socket: Duplex, first: Buffer): void {
    const done = this.#handler.begin(connection, head);
    let over = false;
    const finish = (status: number, error: ErrorCode | null) => {
      if (over) return;
      over = true;
      done({ status, bytes: 0, error });
    };
    connection.begin();
    connection.protocol = 'upgraded';
    socket.on('error', () => {});
    socket.once('close', () => finish(101, null));
    const decision = this.#handler.decide(connection, head);
    if (decision.kind === 'refuse') {
      refuse(socket, decision.status, decision.code);
      finish(decision.status, decision.code);
      return;
    }
    const upstream = this.#handler.upstream(decision);
    const target = upstream.pick(new Set());
    if (!target) {
      refuse(socket, 502, 'UPSTREAM_UNREACHABLE');
      finish(502, 'UPSTREAM_UNREACHABLE');
      return;
    }
    this.#proxy.once('proxyReqWs', (sent: ClientRequest) => {
      sent.once('response', (response: IncomingMessage) => finish(response.statusCode ?? 502, null));
      sent.once('upgrade', () => upstream.connected(target, true));
    });
    const outgoing = Object.create(request) as IncomingMessage;
    outgoing.headers = { ...fieldsOf(decision.headers), connection: 'Upgrade', upgrade: head.upgrade };
    outgoing.url = decision.path;
    this.#proxy.ws(outgoing, socket as Socket, first, { target: target.url }, (error: Error) => {
      const code: ErrorCode = systemCode(error) === 'ECONNREFUSED' ? 'UPSTREAM_UNREACHABLE' : 'UPSTREAM_CLOSED';
      if (code === 'UPSTREAM_UNREACHABLE') upstream.connected(target, false);
      if (over || socket.destroyed) return;
      this.#handler.logger.warn(
        { code, upstream: upstream.name, target: target.url.host, error: messageOf(error) },
        catalogue[code].summary,
      );
      if (!(socket as Socket).bytesWritten) refuse(socket, 502, code);
      finish(502, code);
    });
  }
}

function fieldsOf(headers: readonly string[]): Record<string, string | string[]> {
  const fields: Record<string, string | string[]> = {};
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i]?.toLowerCase() ?? '';
    const value = headers[i + 1] ?? '';
    const before = fields[name];
    fields[name] = before === undefined ? value : [...(Array.isArray(before) ? before : [before]), value];
  }
  return fields;
}

function refuse(socket: Duplex, status: number, code: ErrorCode): void {
  const { summary, remedy } = catalogue[code];
  const body = `${code}: ${summary}; ${remedy}\n`;
  const head = `HTTP/1.1 ${status} ${code}\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8`;
  socket.end(`${head}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
}
