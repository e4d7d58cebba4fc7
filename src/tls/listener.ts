import type { Socket } from 'node:net';
import { createServer, type SecureVersion, type Server, type TLSSocket, type TlsOptions } from 'node:tls';
import { systemCode } from '../errors.ts';
import { closeWhenQueueIsEmpty } from './accept-queue.ts';
import { formatAddress, type ListenAddress, listen } from './addresses.ts';
import type { ContextStore } from './context-store.ts';
import { contextOptions } from './contexts.ts';
import type { Generation, ServedIdentity } from './generation.ts';
import { keepPeerChains } from './peer-chains.ts';
import { resumeFrom, SessionCache, sessionIdContext } from './session-cache.ts';

export interface TlsOptionsOfListener {
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3';
  /** OpenSSL's cipher list; Node's default when left out. */
  readonly ciphers?: string;
  /** Milliseconds a handshake may take. */
  readonly handshakeTimeout: number;
  /** Milliseconds for which a session may be resumed. */
  readonly sessionTimeout: number;
  /** Sessions kept at most, for TLS 1.2 clients that know no tickets; none when left out. */
  readonly sessionCache?: number;
  /** Whether clients are asked for a certificate. */
  readonly requestsClientCertificates?: boolean;
}

/** What a listener tells. One connection: accepted, perhaps identified, then secured or failed. */
export interface ListenerEvents {
  /** A TCP connection came in. */
  readonly accepted: (socket: Socket) => void;
  /** The certificate for its handshake was chosen. */
  readonly identified: (socket: Socket, served: ServedIdentity, name: string) => void;
  /**
   * The handshake is done.
   * @param served what the client was shown; for a resumed session, what it would be shown now
   */
  readonly secured: (socket: Socket, secure: TLSSocket, served: ServedIdentity) => void;
  /** The handshake failed; `plainHttp` when the client spoke HTTP without TLS and is still there to be answered. */
  readonly failed: (socket: Socket, reason: string, plainHttp: boolean) => void;
}

/** What the default context depends on. */
interface Parts {
  readonly fingerprint: string | undefined;
  readonly bundles: Generation['bundles'];
  readonly ticketKeys: Buffer;
}

/** `unrecognized_name`, fatal (RFC 6066 §3, RFC 8446 §6.2), as a TLS record before any key is known. */
const unrecognizedName = Buffer.from([0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x70]);

/** Terminates TLS on one address with the certificates of a context store. Knows nothing of HTTP. */
export class TlsListener {
  readonly #store: ContextStore;
  readonly #options: TlsOptionsOfListener;
  readonly #events: ListenerEvents;
  readonly #server: Server;
  /** Its own: what was opened here is resumed nowhere else. Null when none are kept. */
  readonly #sessions: SessionCache | null;
  readonly #chosen = new WeakMap<TLSSocket, ServedIdentity>();
  /** The default when a connection was accepted: that is what the TLS layer shows when no name is asked for. */
  readonly #defaults = new WeakMap<Socket, ServedIdentity>();
  readonly #unsubscribe: () => void;
  #madeOf: Parts;
  #address: ListenAddress;
  #closed: Promise<void> | null = null;

  constructor(address: ListenAddress, store: ContextStore, options: TlsOptionsOfListener, events: ListenerEvents) {
    this.#address = address;
    this.#store = store;
    this.#options = options;
    this.#events = events;
    if (options.requestsClientCertificates) keepPeerChains();
    this.#madeOf = this.#partsOf(store.current);
    const listener = this;
    this.#server = createServer({
      ...this.#contextOptions(store.current),
      ALPNProtocols: ['h2', 'http/1.1'],
      handshakeTimeout: options.handshakeTimeout,
      pauseOnConnect: false,
      noDelay: true,
      // Whether a certificate is good enough, and for which host, is decided afterwards.
      requestCert: options.requestsClientCertificates === true,
      rejectUnauthorized: false,
      SNICallback(
        this: TLSSocket,
        name: string,
        done: (error: Error | null, context?: ServedIdentity['context']) => void,
      ) {
        listener.#identify(this, name, done);
      },
    } as TlsOptions);
    this.#sessions = sessionCacheOf(options);
    if (this.#sessions) resumeFrom(this.#sessions, this.#server);
    // First: the socket has to be known before the TLS layer wraps it.
    this.#server.prependListener('connection', (socket) => {
      if (store.current.fallback) this.#defaults.set(socket, store.current.fallback);
      events.accepted(socket);
    });
    this.#server.on('secureConnection', (secure) => this.#secured(secure));
    this.#server.on('tlsClientError', (error, secure) => this.#failed(error, secure));
    // The callback for server names runs neither without a name nor for resumed sessions: those get the server's own context.
    this.#unsubscribe = store.onCommit((generation) => this.#renew(generation));
  }

  /** Starts to accept. @param socket bound to the address, when there is one already @throws SwivelError LISTEN_FAILED */
  async open(socket?: object): Promise<void> {
    this.#address = await listen(this.#server, this.#address, socket);
    this.#server.on('error', () => {});
  }

  get address(): ListenAddress {
    return this.#address;
  }

  toString(): string {
    return formatAddress(this.#address);
  }

  /** Stops accepting, once nobody waits to be accepted. Connections live on. Idempotent. @returns settles when it is closed */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    if (this.#server.listening) await closeWhenQueueIsEmpty(this.#server);
    this.#unsubscribe();
    this.#sessions?.forget();
  }

  /** Renews the default context, if it is made of something else now: that takes longer than all the rest of a commit. */
  #renew(generation: Generation): void {
    const [before, now] = [this.#madeOf, this.#partsOf(generation)];
    const sameKeys = before.ticketKeys.equals(now.ticketKeys);
    if (sameKeys && before.fingerprint === now.fingerprint && before.bundles === now.bundles) return;
    this.#madeOf = now;
    // What ends the sessions of tickets ends these.
    if (!sameKeys) this.#sessions?.forget();
    this.#server.setSecureContext(this.#contextOptions(generation));
  }

  #partsOf({ fallback, bundles }: Generation): Parts {
    return { fingerprint: fallback?.identity.fingerprint, bundles, ticketKeys: this.#store.ticketKeys };
  }

  /** All of them, each time: `setSecureContext` resets what is left out, ticket keys above all. */
  #contextOptions(generation: Generation): TlsOptions {
    const { minVersion, ciphers, sessionTimeout } = this.#options;
    const { ticketKeys } = this.#store;
    return {
      ...(generation.fallback ? contextOptions(generation.fallback.identity, generation.bundles.values()) : {}),
      ...(ciphers === undefined ? {} : { ciphers }),
      minVersion: minVersion satisfies SecureVersion,
      ticketKeys,
      sessionIdContext: sessionIdContext(ticketKeys),
      // Node takes 0 for not set, which is two hours.
      sessionTimeout: Math.max(1, Math.round(sessionTimeout / 1000)),
      honorCipherOrder: true,
    };
  }

  #identify(secure: TLSSocket, name: string, done: (error: Error | null, context?: ServedIdentity['context']) => void) {
    const presented = this.#store.present(name);
    if (!presented) {
      rawOf(secure)?.write(unrecognizedName);
      done(new Error(`no certificate for the server name`));
      return;
    }
    const { served, context } = presented;
    this.#chosen.set(secure, served);
    const raw = rawOf(secure);
    if (raw) this.#events.identified(raw, served, name);
    done(null, context);
  }

  #secured(secure: TLSSocket): void {
    const raw = rawOf(secure);
    const served = raw && this.#presented(raw, secure);
    if (!served) {
      secure.destroy();
      return;
    }
    this.#events.secured(raw, secure, served);
  }

  #presented(raw: Socket, secure: TLSSocket): ServedIdentity | undefined {
    const shown = this.#chosen.get(secure) ?? (secure.isSessionReused() ? undefined : this.#defaults.get(raw));
    if (shown) return shown;
    const name = (secure as TLSSocket & { servername?: string | false }).servername;
    return this.#store.resolve(name) ?? this.#store.current.fallback ?? undefined;
  }

  #failed(error: Error, secure: TLSSocket): void {
    const raw = rawOf(secure);
    if (!raw) return;
    const code = systemCode(error) ?? 'UNKNOWN';
    this.#events.failed(raw, code, code === 'ERR_SSL_HTTP_REQUEST');
  }
}

/** Clients of TLS 1.3 resume by tickets alone. */
function sessionCacheOf({ minVersion, sessionCache: capacity = 0, sessionTimeout }: TlsOptionsOfListener) {
  if (capacity === 0 || minVersion === 'TLSv1.3') return null;
  return new SessionCache({ capacity, lifetime: sessionTimeout });
}

/**
 * The TCP socket below a TLS socket. Node keeps it as `_parent` and has no public name for it; what breaks when that changes is
 * every test of this project.
 */
function rawOf(secure: TLSSocket): Socket | undefined {
  return (secure as TLSSocket & { _parent?: Socket })._parent;
}
