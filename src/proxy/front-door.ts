import { X509Certificate } from 'node:crypto';
import type { Socket } from 'node:net';
import { BlockList, isIPv6 } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { normalizeName, type ValidatedIdentity } from '../certificates/index.ts';
import {
  type CertificateTag,
  type ClientCertificate,
  ClientChains,
  ClientTrust,
  type Connection,
  type ConnectionRegistry,
  clientCertificateOf,
} from '../connections/index.ts';
import type { Logger, TrafficMetrics } from '../observe/index.ts';
import type { ContextStore, ListenerEvents, ServedIdentity } from '../tls/index.ts';
import type { Upstream } from '../upstream/index.ts';
import type { ClientHeaderNames } from './client-headers.ts';
import { type ClientRules, openToAll } from './client-rules.ts';
import { RequestHandler } from './handler.ts';
import { Http1, type Http1Options } from './http1.ts';
import { Http2, type Http2Options } from './http2.ts';
import { endPolitely, refusalText } from './last-words.ts';
import { PlainHttp1 } from './plain/index.ts';
import { type RouteOptions, Router } from './router.ts';
import { UpgradeHandler } from './upgrade.ts';

export interface FrontDoorOptions extends Http1Options, Http2Options {
  readonly routes: readonly RouteOptions[];
  /** Addresses or CIDR ranges whose forwarding headers are believed. */
  readonly trustedProxies: readonly string[];
  /** The field that tells upstream which certificate the client was given; none when null. */
  readonly certificateHeader: string | null;
  /** The fields that tell upstream the verified certificate of the client. */
  readonly clientHeaders: ClientHeaderNames;
  readonly access: boolean;
  /** Whether plain requests go straight through; true when left out. */
  readonly fastPath?: boolean;
  /** Told how clients take to the certificates that they are shown. */
  readonly observe?: (id: string, fingerprint: string, refused: boolean) => void;
  /** Others who serve the same clients; none when left out. */
  readonly peers?: Peers;
}

/** What front doors with the same ticket keys have to tell each other, for a session of one is resumed on another. */
export interface Peers {
  /** Intermediates of a client that was trusted, DER. */
  learned(certificates: readonly Uint8Array[]): void;
  /** Resolves when everything that others had learned by now has come in. */
  settled(): Promise<unknown>;
}

/** Alerts by which a client refuses the certificate it was shown (RFC 8446 §6.2), as OpenSSL names them. */
const saysNo =
  /ALERT_(UNKNOWN_CA|BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|CERTIFICATE_(UNKNOWN|EXPIRED|REVOKED|UNOBTAINABLE))/;

/** Receives what the listeners accept, keeps it in the registry, and hands it to the protocol that was negotiated. */
export class FrontDoor {
  readonly #store: ContextStore;
  readonly #connections: ConnectionRegistry;
  readonly #metrics: TrafficMetrics;
  readonly #http1: Http1;
  readonly #plain: PlainHttp1 | null;
  readonly #http2: Http2;
  readonly #trust: ClientTrust;
  readonly #chains = new ClientChains();
  readonly #rules = new WeakMap<Connection, ClientRules>();
  readonly #observe: NonNullable<FrontDoorOptions['observe']>;
  readonly #peers: Peers | undefined;

  constructor(
    store: ContextStore,
    connections: ConnectionRegistry,
    upstreams: ReadonlyMap<string, Upstream>,
    options: FrontDoorOptions,
    metrics: TrafficMetrics,
    logger: Logger,
  ) {
    this.#store = store;
    this.#connections = connections;
    this.#metrics = metrics;
    const decision = {
      router: new Router(options.routes),
      trusts: trusting(options.trustedProxies),
      certificateHeader: options.certificateHeader?.toLowerCase() ?? null,
      clientHeaders: lowerCase(options.clientHeaders),
      certificateFor: (host: string) => store.resolve(host)?.identity.id,
    };
    const { access, idleTimeout } = options;
    this.#trust = new ClientTrust((name) => store.current.bundles.get(name));
    this.#observe = options.observe ?? (() => {});
    this.#peers = options.peers;
    const rulesOf = (connection: Connection) => this.#rules.get(connection) ?? openToAll;
    const { trust } = this;
    const handler = new RequestHandler({ decision, upstreams, trust, rulesOf, metrics, logger, access, idleTimeout });
    this.#http1 = new Http1(handler, new UpgradeHandler(handler), options);
    this.#plain = options.fastPath === false ? null : new PlainHttp1(handler, this.#http1, options);
    this.#http2 = new Http2(handler, options);
  }

  /** Which client certificates are trusted. */
  get trust(): ClientTrust {
    return this.#trust;
  }

  /** What a listener tells of its connections. @param rules whom it lets in */
  eventsFor(rules: ClientRules): ListenerEvents {
    return {
      accepted: (socket) => this.#accepted(socket, rules),
      identified: (socket, served, name) => this.#identified(socket, served, name),
      secured: (socket, secure, served) => this.#secured(socket, secure, served),
      failed: (socket, reason, plainHttp) => this.#failed(socket, reason, plainHttp),
    };
  }

  #accepted(socket: Socket, rules: ClientRules): void {
    socket.on('error', () => {});
    const connection = this.#connections.add(socket);
    if (rules.asks) this.#rules.set(connection, rules);
  }

  #identified(socket: Socket, served: ServedIdentity, name: string): void {
    const connection = this.#connections.get(socket);
    if (!connection) return;
    this.#connections.tag(connection, tagOf(served));
    connection.serverName = normalizeName(name);
  }

  #secured(socket: Socket, secure: TLSSocket, served: ServedIdentity): void {
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
    const rules = this.#rules.get(connection);
    if (typeof secure.servername === 'string') connection.serverName = normalizeName(secure.servername);
    if (rules) connection.client = this.#clientOf(secure, rules);
    if (!this.#peers || !rules || !this.#lacksIssuers(connection.client, rules)) {
      this.#serve(connection, secure, served);
      return;
    }
    const serve = () => {
      connection.client = this.#clientOf(secure, rules);
      if (!secure.destroyed) this.#serve(connection, secure, served);
    };
    this.#peers.settled().then(serve, serve);
  }

  #serve(connection: Connection, secure: TLSSocket, served: ServedIdentity): void {
    const resumed = secure.isSessionReused() ? 'true' : 'false';
    this.#metrics.handshakes.inc({ result: 'success', resumed });
    this.#metrics.handshakeDuration.observe((performance.now() - connection.acceptedAt) / 1000);
    if (secure.alpnProtocol === 'h2') this.#http2.serve(connection, secure);
    else if (this.#plain) this.#plain.serve(connection, secure);
    else this.#http1.serve(connection, secure);
    connection.idleSince = performance.now();
    // The certificate may have been retired while the client was still shaking hands.
    const { id, fingerprint } = connection.certificate ?? tagOf(served);
    if (resumed === 'false') this.#observe(id, fingerprint, false);
    if (!this.#store.current.fingerprints.has(fingerprint)) this.#connections.retireOne(connection);
  }

  #clientOf(secure: TLSSocket, rules: ClientRules): ClientCertificate | null {
    const client = clientCertificateOf(secure, this.#chains);
    const trusted = () => rules.bundles.some((name) => client && this.#trust.verdictOn(client, name).ok);
    if (client && !client.resumed && client.chain.length > 1 && trusted()) {
      const news = this.#chains.learn(client.chain);
      if (news.length > 0) this.#peers?.learned(news.map(({ raw }) => raw));
    }
    return client;
  }

  /** Whether a resumed session may have been opened with intermediates that only others have seen so far. */
  #lacksIssuers(client: ClientCertificate | null, rules: ClientRules): boolean {
    if (!client?.resumed || client.chain.length > 1) return false;
    return !rules.bundles.some((name) => this.#trust.verdictOn(client, name).ok);
  }

  /** Keeps intermediates at hand that others have learned, DER. */
  learn(certificates: readonly Uint8Array[]): void {
    this.#chains.keep(certificates.map((der) => new X509Certificate(der)));
  }

  #failed(socket: Socket, reason: string, plainHttp: boolean): void {
    const certificate = this.#connections.get(socket)?.certificate;
    if (certificate && saysNo.test(reason)) {
      this.#metrics.certificateRefusals.inc({ certificate: certificate.id });
      this.#observe(certificate.id, certificate.fingerprint, true);
    }
    this.#metrics.handshakes.inc({ result: 'failure', resumed: 'false' });
    if (!plainHttp || !socket.writable) {
      socket.destroy();
      return;
    }
    endPolitely(socket, refusalText(400, 'PLAIN_HTTP'));
  }

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

const tags = new WeakMap<ValidatedIdentity, CertificateTag>();

/** One for all connections on a certificate. */
function tagOf({ identity }: ServedIdentity): CertificateTag {
  const known = tags.get(identity);
  if (known) return known;
  const { id, fingerprint, names, leaf } = identity;
  const tag = { id, fingerprint, fingerprint256: leaf.fingerprint256, names };
  tags.set(identity, tag);
  return tag;
}

function lowerCase(names: ClientHeaderNames): ClientHeaderNames {
  return Object.fromEntries(Object.entries(names).map(([key, name]) => [key, name?.toLowerCase()]));
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
