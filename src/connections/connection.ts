import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { ClientCertificate } from './client-certificate.ts';
import type { DrainPlan, Protocol } from './policy.ts';

/** The certificate that a connection was given. */
export interface CertificateTag {
  readonly id: string;
  /** Of the whole chain; what a drain goes by. */
  readonly fingerprint: string;
  /** Of the leaf, as people know it. */
  readonly fingerprint256: string;
  /** The names that the certificate covers. */
  readonly names: readonly string[];
}

/** What a protocol does for a drain. */
export interface ProtocolHandler {
  /** Arrange that the connection ends when what is in flight is done. Called once. */
  ask(): void;
  /** End the connection, which is idle, politely. */
  close(): void;
}

/** One client connection, from the accepted socket to its end. */
export class Connection {
  readonly id: number;
  readonly socket: Socket;
  /** Monotonic milliseconds. */
  readonly acceptedAt: number;
  secure: TLSSocket | null = null;
  certificate: CertificateTag | null = null;
  /** What the client showed of itself; null when nothing, or when nobody asked. */
  client: ClientCertificate | null = null;
  /** The name the client asked for in its handshake, lower case; null when it named none. */
  serverName: string | null = null;
  protocol: Protocol = 'handshake';
  handler: ProtocolHandler | null = null;
  /** Since when nothing is in flight; null while something is. */
  idleSince: number | null;
  /** Set once, when the connection is to end. */
  plan: DrainPlan | null = null;
  /** The protocol was asked to end the connection. */
  asked = false;
  /** How a drain ended it, when one did. */
  cut = false;
  #inFlight = 0;
  readonly #reliedOn = new Set<string>();

  constructor(id: number, socket: Socket, now: number) {
    this.id = id;
    this.socket = socket;
    this.acceptedAt = now;
    this.idleSince = now;
    const address = socket.remoteAddress ?? '';
    this.address = address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
  }

  /** The address of the client, an IPv4 one in its own form (RFC 4291 §2.5.5.2). */
  readonly address: string;

  /** Whether it is to end. */
  get draining(): boolean {
    return this.plan !== null;
  }

  /** Whether the response that is being written should be the last one. */
  get last(): boolean {
    return this.asked;
  }

  /** A request was let in because of the client certificate. @param trust the name of the bundle that vouched for it */
  reliesOn(trust: string): void {
    this.#reliedOn.add(trust);
  }

  /** The bundles because of which requests were let in. */
  get reliedOn(): ReadonlySet<string> {
    return this.#reliedOn;
  }

  /** A request begins. */
  begin(): void {
    this.#inFlight += 1;
    this.idleSince = null;
  }

  /** A request is over, whatever came of it. */
  end(): void {
    this.#inFlight -= 1;
    if (this.#inFlight === 0) this.idleSince = performance.now();
  }

  destroy(): void {
    this.secure?.destroy();
    this.socket.destroy();
  }
}
