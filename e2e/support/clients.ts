import { once } from 'node:events';
import { type ClientHttp2Session, type ClientHttp2Stream, connect as connectHttp2 } from 'node:http2';
import type { Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import { WebSocket } from 'ws';
import { RawClient } from '../../test/support/raw-client.ts';

/** Where a client connects to, and whom it trusts. */
export interface Door {
  readonly port: number;
  /** PEM of the authority; without it nothing is verified. */
  readonly ca?: string;
}

type Scope = Pick<TestContext, 'after'>;

function tlsOptions(door: Door, servername: string | undefined) {
  const trust = door.ca === undefined ? { rejectUnauthorized: false } : { ca: door.ca };
  // Without a server name there is nothing to compare the certificate with.
  const name = servername === undefined ? { checkServerIdentity: () => undefined } : { servername };
  return { host: '127.0.0.1', port: door.port, ...trust, ...name };
}

/** The certificate that a new connection is shown: SHA-256 in lower-case hex. */
export async function shownTo(door: Door, servername?: string): Promise<string> {
  const socket = connect({ ...tlsOptions(door, servername), ALPNProtocols: ['http/1.1'] });
  socket.on('error', () => {});
  const failed = once(socket, 'close').then(() => {
    throw new Error('closed during the handshake');
  });
  await Promise.race([once(socket, 'secureConnect'), failed]);
  failed.catch(() => {});
  const shown = fingerprintOn(socket);
  socket.end();
  socket.resume();
  return shown;
}

/** The certificate that a connection was shown: SHA-256 in lower-case hex. */
export function fingerprintOn(socket: TLSSocket): string {
  return socket.getPeerX509Certificate()?.fingerprint256.replaceAll(':', '').toLowerCase() ?? '';
}

/** One HTTP/1.1 connection that stays open until the test ends it. */
export class KeepAlive extends RawClient {
  readonly servername: string | undefined;

  constructor(socket: TLSSocket, servername: string | undefined) {
    super(socket);
    this.servername = servername;
  }

  /** Sends a request without waiting for its response. */
  ask(path = '/'): this {
    return this.send(`GET ${path} HTTP/1.1\r\nHost: ${this.servername ?? 'localhost'}\r\n\r\n`) as this;
  }

  /** A request and its response. */
  async get(path = '/'): Promise<{ status: number; body: string; lastOne: boolean }> {
    const { status, body, fields } = await this.ask(path).response();
    const connection = fields.findIndex((name, i) => i % 2 === 0 && name.toLowerCase() === 'connection');
    return { status, body, lastOne: fields[connection + 1]?.toLowerCase() === 'close' };
  }

  get fingerprint256(): string {
    return fingerprintOn(this.socket);
  }
}

/** Opens an HTTP/1.1 connection. @param over another socket than one of its own */
export async function openHttp1(t: Scope, door: Door, servername?: string, over?: Socket): Promise<KeepAlive> {
  const carrier = over ? { socket: over } : {};
  const socket = connect({ ...tlsOptions(door, servername), ...carrier, ALPNProtocols: ['http/1.1'] });
  t.after(() => socket.destroy());
  await once(socket, 'secureConnect');
  return new KeepAlive(socket, servername);
}

/** One HTTP/2 connection. */
export class Http2Client {
  readonly session: ClientHttp2Session;
  readonly authority: string;
  /** The last stream of each GOAWAY that arrived. */
  readonly goaways: number[] = [];
  readonly closed: Promise<unknown>;

  constructor(session: ClientHttp2Session, authority: string) {
    this.session = session;
    this.authority = authority;
    this.closed = once(session, 'close');
    session.on('error', () => {});
    session.on('goaway', (_code, last) => this.goaways.push(last ?? 0));
  }

  ask(path = '/'): ClientHttp2Stream {
    const stream = this.session.request({ ':path': path, ':authority': this.authority });
    stream.on('error', () => {});
    return stream;
  }

  get(path = '/'): Promise<{ status: number; body: string }> {
    return answerOf(this.ask(path));
  }
}

/** The answer on a stream; rejects when it was cut. */
export async function answerOf(stream: ClientHttp2Stream): Promise<{ status: number; body: string }> {
  let status = 0;
  let body = '';
  stream.setEncoding('utf8');
  stream.once('response', (headers) => {
    status = headers[':status'] ?? 0;
  });
  stream.on('data', (chunk: string) => {
    body += chunk;
  });
  await once(stream, 'close');
  if (stream.rstCode !== 0 || status === 0) throw new Error(`the stream was cut (${stream.rstCode})`);
  return { status, body };
}

/** Opens an HTTP/2 connection. */
export async function openHttp2(t: Scope, door: Door, servername: string): Promise<Http2Client> {
  const session = connectHttp2(`https://127.0.0.1:${door.port}`, tlsOptions(door, servername));
  t.after(() => session.destroy());
  const client = new Http2Client(session, servername);
  await once(session, 'remoteSettings');
  return client;
}

/** One WebSocket. */
export class EchoSocket {
  readonly socket: WebSocket;
  /** Resolves with the close code when it is over. */
  readonly closed: Promise<number>;

  constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on('error', () => {});
    this.closed = once(socket, 'close').then(([code]) => code as number);
  }

  /** Sends a message; resolves with what comes back. */
  async echo(message: string): Promise<string> {
    const answer = once(this.socket, 'message');
    this.socket.send(message);
    const over = this.closed.then((code) => {
      throw new Error(`closed with ${code}`);
    });
    over.catch(() => {});
    const [data] = await Promise.race([answer, over]);
    return String(data);
  }
}

/** Opens a WebSocket. */
export async function openWebSocket(t: Scope, door: Door, servername: string): Promise<EchoSocket> {
  const options = { ...tlsOptions(door, servername), headers: { host: servername }, perMessageDeflate: false };
  const socket = new WebSocket(`wss://127.0.0.1:${door.port}/echo`, options);
  t.after(() => socket.terminate());
  await once(socket, 'open');
  return new EchoSocket(socket);
}
