import type { Socket } from 'node:net';
import { BlockList, isIPv6 } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { CertificateTag, ConnectionRegistry } from '../connections/index.ts';
import type { Logger, Metrics } from '../observe/index.ts';
import type { ContextStore, ListenerEvents, ServedIdentity } from '../tls/index.ts';
import type { Upstream } from '../upstream/index.ts';
import { RequestHandler } from './handler.ts';
import { Http1, type Http1Options } from './http1.ts';
import { Http2, type Http2Options } from './http2.ts';
import { endPolitely, refusalText } from './last-words.ts';
import { type RouteOptions, Router } from './router.ts';
import { UpgradeHandler } from './upgrade.ts';

export interface FrontDoorOptions extends Http1Options, Http2Options {
  readonly routes: readonly RouteOptions[];
  /** Addresses or CIDR ranges whose forwarding headers are believed. */
  readonly trustedProxies: readonly string[];
  /** The field that tells upstream which certificate the client was given; none when null. */
  readonly certificateHeader: string | null;
  readonly access: boolean;
}

/** Receives what the listeners accept, keeps it in the registry, and hands it to the protocol that was negotiated. */
export class FrontDoor implements ListenerEvents {
  readonly #store: ContextStore;
  readonly #connections: ConnectionRegistry;
  readonly #metrics: Metrics;
  readonly #http1: Http1;
  readonly #http2: Http2;

  constructor(
    store: ContextStore,
    connections: ConnectionRegistry,
    upstreams: ReadonlyMap<string, Upstream>,
    options: FrontDoorOptions,
    metrics: Metrics,
    logger: Logger,
  ) {
    this.#store = store;
    this.#connections = connections;
    this.#metrics = metrics;
    const decision = {
      router: new Router(options.routes),
      trusts: trusting(options.trustedProxies),
      certificateHeader: options.certificateHeader?.toLowerCase() ?? null,
      certificateFor: (host: string) => store.resolve(host)?.identity.id,
    };
    const { access, idleTimeout } = options;
    const handler = new RequestHandler({ decision, upstreams, metrics, logger, access, idleTimeout });
    this.#http1 = new Http1(handler, new UpgradeHandler(handler), options);
    this.#http2 = new Http2(handler, options);
  }

  readonly accepted = (socket: Socket): void => {
    socket.on('error', () => {});
    this.#connections.add(socket);
  };

  readonly identified = (socket: Socket, served: ServedIdentity): void => {
    const connection = this.#connections.get(socket);
    if (connection) this.#connections.tag(connection, tagOf(served));
  };

  readonly secured = (socket: Socket, secure: TLSSocket, served: ServedIdentity): void => {
    const connection = this.#connections.get(socket);
    if (!connection) {
      secure.destroy();
      return;
    }
    secure.on('error', () => {});
    connection.secure = secure;
    if (!connection.certificate) {
      const tag = tagOf(served);
      this.#connections.tag(connection, isForgetful(secure) ? { ...tag, names: this.#servedNames() } : tag);
    }
    const resumed = secure.isSessionReused() ? 'true' : 'false';
    this.#metrics.handshakes.inc({ result: 'success', resumed });
    this.#metrics.handshakeDuration.observe((performance.now() - connection.acceptedAt) / 1000);
    if (secure.alpnProtocol === 'h2') this.#http2.serve(connection, secure);
    else this.#http1.serve(connection, secure);
    connection.idleSince = performance.now();
    // The certificate may have been retired while the client was still shaking hands.
    const fingerprint = connection.certificate?.fingerprint ?? '';
    if (!this.#store.current.fingerprints.has(fingerprint)) this.#connections.retireOne(connection);
  };

  readonly failed = (socket: Socket, _reason: string, plainHttp: boolean): void => {
    this.#metrics.handshakes.inc({ result: 'failure', resumed: 'false' });
    if (!plainHttp || !socket.writable) {
      socket.destroy();
      return;
    }
    endPolitely(socket, refusalText(400, 'PLAIN_HTTP'));
  };

  #servedNames(): string[] {
    return [...this.#store.current.served.values()].flatMap(({ identity }) => identity.names);
  }

  /** Stops what runs beside the connections. */
  close(): void {
    this.#http1.close();
  }
}

/**
 * A resumed session of TLS 1.2 does not tell for which name it was made, so its client may have been shown any certificate: it is not
 * sent away for a host of another one (421), which it would come back from by resuming again.
 */
function isForgetful(secure: TLSSocket): boolean {
  return secure.isSessionReused() && !(secure as TLSSocket & { servername?: string | false }).servername;
}

function tagOf({ identity }: ServedIdentity): CertificateTag {
  const { id, fingerprint, names, leaf } = identity;
  return { id, fingerprint, fingerprint256: leaf.fingerprint256, names };
}

function trusting(ranges: readonly string[]): (address: string) => boolean {
  // One list for each family: in a common one `::/0` would take in every IPv4 address by its mapped form.
  const lists = { ipv4: new BlockList(), ipv6: new BlockList() };
  for (const range of ranges) {
    const [address = '', bits] = range.split('/');
    const family = familyOf(address);
    if (bits === undefined) lists[family].addAddress(address, family);
    else lists[family].addSubnet(address, Number(bits), family);
  }
  return (address) => lists[familyOf(address)].check(address, familyOf(address));
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIPv6(address) ? 'ipv6' : 'ipv4';
}
