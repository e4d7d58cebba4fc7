import { once } from 'node:events';
import { connect as connectTcp, createServer, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import {
  type ContextStore,
  type ServedIdentity,
  TlsListener,
  type TlsOptionsOfListener,
} from '../../../src/tls/index.ts';
import { authority } from './identities.ts';

type After = Pick<TestContext, 'after'>;

export interface Failure {
  readonly reason: string;
  readonly plainHttp: boolean;
}

interface Secured {
  readonly secure: TLSSocket;
  readonly served: ServedIdentity;
}

/** A listener with what it tells, in order. */
export class Listening {
  port = 0;
  listener: TlsListener | undefined;
  readonly identified: ServedIdentity[] = [];
  readonly #sockets = new Set<Socket>();
  readonly #secured = new Stream<Secured>();
  readonly #failed = new Stream<Failure>();
  readonly #accepted = new Stream<Socket>();

  readonly accepted = (socket: Socket) => {
    this.#sockets.add(socket);
    socket.on('error', () => {});
    this.#accepted.push(socket);
  };

  readonly secured = (_socket: Socket, secure: TLSSocket, served: ServedIdentity) => {
    secure.on('error', () => {});
    secure.resume();
    secure.write('hello');
    this.#secured.push({ secure, served });
  };

  readonly failed = (socket: Socket, reason: string, plainHttp: boolean) => {
    if (plainHttp) socket.end('use https');
    this.#failed.push({ reason, plainHttp });
  };

  nextAccepted(): Promise<Socket> {
    return this.#accepted.next();
  }

  nextSecured(): Promise<Secured> {
    return this.#secured.next();
  }

  nextFailed(): Promise<Failure> {
    return this.#failed.next();
  }

  async close(): Promise<void> {
    await this.listener?.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}

/** Things that come, each taken once. */
class Stream<T> {
  readonly #items: T[] = [];
  readonly #waiting: ((item: T) => void)[] = [];

  push(item: T): void {
    const waiting = this.#waiting.shift();
    if (waiting) waiting(item);
    else this.#items.push(item);
  }

  next(): Promise<T> {
    const item = this.#items.shift();
    if (item !== undefined) return Promise.resolve(item);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}

/** Opens a listener on a free port of loopback; it ends with the test. */
export async function listening(
  t: After,
  store: ContextStore,
  options: Partial<TlsOptionsOfListener> = {},
): Promise<Listening> {
  const listening = new Listening();
  const tls = { minVersion: 'TLSv1.2', handshakeTimeout: 10_000, sessionTimeout: 300_000, ...options } as const;
  const listener = new TlsListener({ host: '127.0.0.1', port: 0 }, store, tls, {
    accepted: listening.accepted,
    identified: (_socket, served) => listening.identified.push(served),
    secured: listening.secured,
    failed: listening.failed,
  });
  await listener.open();
  listening.listener = listener;
  listening.port = listener.address.port;
  t.after(() => listening.close());
  return listening;
}

/** A TCP connection; it ends with the test. */
export async function tcp(t: After, port: number): Promise<Socket> {
  const socket = connectTcp(port, '127.0.0.1');
  t.after(() => socket.destroy());
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

/** Shakes hands. Without `servername` no SNI is sent. The name of the certificate is not checked, its issuer is. */
export async function handshake(t: After, options: ConnectionOptions): Promise<TLSSocket> {
  const { certificatePem } = await authority();
  const secure = connect({ host: '127.0.0.1', ca: certificatePem, checkServerIdentity: () => undefined, ...options });
  t.after(() => secure.destroy());
  await once(secure, 'secureConnect');
  secure.on('error', () => {});
  return secure;
}

/** A finished handshake: what the client was shown, in lower-case hex, and the session to resume it with. */
export async function visit(t: After, options: ConnectionOptions) {
  const { certificatePem } = await authority();
  const secure = connect({ host: '127.0.0.1', ca: certificatePem, checkServerIdentity: () => undefined, ...options });
  t.after(() => secure.destroy());
  const ticket = once(secure, 'session');
  await once(secure, 'secureConnect');
  secure.on('error', () => {});
  const [session] = secure.isSessionReused() ? [] : ((await ticket) as [Buffer]);
  const result = {
    shown: secure.isSessionReused() ? null : shownTo(secure),
    reused: secure.isSessionReused(),
    session,
    protocol: secure.getProtocol(),
    cipher: secure.getCipher().standardName,
    alpn: secure.alpnProtocol,
  };
  secure.destroy();
  return result;
}

/** SHA-256 of the leaf that a client was shown. */
export function shownTo(secure: TLSSocket): string | undefined {
  return secure.getPeerX509Certificate()?.fingerprint256.replaceAll(':', '').toLowerCase();
}

/** Why a handshake failed, as the client sees it: the code of its error. */
export async function refusal(options: ConnectionOptions): Promise<string> {
  const { certificatePem } = await authority();
  const secure = connect({ host: '127.0.0.1', ca: certificatePem, checkServerIdentity: () => undefined, ...options });
  try {
    return await new Promise<string>((resolve, reject) => {
      secure.once('secureConnect', () => reject(new Error('the handshake succeeded')));
      secure.once('error', (error: Error & { code?: string }) => resolve(`${error.code} ${error.message}`));
      secure.once('close', () => resolve('closed'));
    });
  } finally {
    secure.destroy();
  }
}

/** Stands between a client and a listener; lets the first flight of the client through and keeps the rest until told. */
export async function holdingRelay(t: After, port: number) {
  const released = Promise.withResolvers<void>();
  const relay = createServer((client) => {
    const server = connectTcp(port, '127.0.0.1');
    t.after(() => {
      client.destroy();
      server.destroy();
    });
    for (const socket of [client, server]) socket.on('error', () => {});
    server.pipe(client);
    client.once('data', (first) => {
      client.pause();
      server.write(first);
      void released.promise.then(() => client.pipe(server));
    });
  });
  await once(relay.listen(0, '127.0.0.1'), 'listening');
  t.after(() => relay.close());
  return { port: (relay.address() as { port: number }).port, release: released.resolve };
}
