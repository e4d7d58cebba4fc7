import { createHash, X509Certificate } from 'node:crypto';
import { connect as connectTcp, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { connect, createSecureContext, type SecureContext } from 'node:tls';
import { bodyFor } from '../../test/support/load/bodies.ts';
import { REQUEST_TIMEOUT_MS } from '../../test/support/load/run.ts';

/** A certificate with its intermediates, exactly as sent: the SHA-256 of each in lower-case hex, joined. */
export type Chain = string;

/** @param pem certificates in the order in which they are sent */
export function chainOf(pem: string): Chain {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return nameOf(blocks.map((block) => new X509Certificate(block).raw));
}

/** Visits the names of one server, each time on a new connection. */
export class Visitor {
  readonly #port: number;
  readonly #secureContext: SecureContext;
  #visits = 0;

  /** @param ca PEM of the authorities to be trusted */
  constructor(port: number, ca: string) {
    this.#port = port;
    // In TLS 1.2 the server's Certificate message can be read (RFC 5246 §7.4.2); later versions encrypt it, and what `node:tls`
    // tells of a chain is what OpenSSL made of it, not what was sent.
    this.#secureContext = createSecureContext({ ca, maxVersion: 'TLSv1.2' });
  }

  /** How many visits there were. */
  get visits(): number {
    return this.#visits;
  }

  /**
   * A full handshake, which the server completes only with the key of the certificate that it sent, and a request.
   * @returns what was sent
   * @throws when the certificate cannot be trusted or the request fails
   */
  async visit(servername: string): Promise<Chain> {
    const path = `/visit/${++this.#visits}`;
    const wire = new Wire(connectTcp(this.#port, '127.0.0.1'));
    const socket = connect({ socket: wire, servername, secureContext: this.#secureContext });
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const tooLong = setTimeout(() => socket.destroy(new Error('timed out')), REQUEST_TIMEOUT_MS);
    let answer = '';
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => {
      answer += text;
    });
    socket.on('error', reject);
    socket.once('close', () => resolve(answer));
    socket.write(`GET ${path} HTTP/1.1\r\nHost: ${servername}\r\nConnection: close\r\n\r\n`);
    try {
      const complete = await promise;
      if (!complete.startsWith('HTTP/1.1 200 ')) throw new Error(`answered ${JSON.stringify(complete.slice(0, 40))}`);
      if (!complete.endsWith(bodyFor(path))) throw new Error('wrong content');
    } finally {
      clearTimeout(tooLong);
    }
    return nameOf(certificatesIn(wire.received));
  }
}

/** A socket that keeps what it received. */
class Wire extends Duplex {
  readonly #socket: Socket;
  readonly #chunks: Buffer[] = [];

  constructor(socket: Socket) {
    super();
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.push(chunk);
    });
    socket.once('end', () => this.push(null));
    socket.on('error', (error) => this.destroy(error));
    socket.once('close', () => this.destroy());
  }

  get received(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.#socket.write(chunk, done);
  }

  override _final(done: () => void): void {
    this.#socket.end(done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }
}

/** The certificates, in DER, of the first Certificate message among TLS 1.2 records (RFC 5246 §6.2.1, §7.4.2). */
function certificatesIn(received: Buffer): Buffer[] {
  const handshake = handshakeMessagesIn(received);
  for (let at = 0; at + 4 <= handshake.length; at += 4 + handshake.readUIntBE(at + 1, 3)) {
    if (handshake[at] !== messageTypes.certificate) continue;
    const certificates: Buffer[] = [];
    const end = at + 4 + handshake.readUIntBE(at + 1, 3);
    for (let from = at + 7; from < end; ) {
      const length = handshake.readUIntBE(from, 3);
      certificates.push(handshake.subarray(from + 3, from + 3 + length));
      from += 3 + length;
    }
    return certificates;
  }
  throw new Error('no certificate was sent');
}

const recordTypes = { handshake: 22 };
const messageTypes = { certificate: 11 };

/** The unencrypted beginning of a conversation, without the heads of its records. */
function handshakeMessagesIn(received: Buffer): Buffer {
  const fragments: Buffer[] = [];
  for (let at = 0; received[at] === recordTypes.handshake; ) {
    const length = received.readUInt16BE(at + 3);
    fragments.push(received.subarray(at + 5, at + 5 + length));
    at += 5 + length;
  }
  return Buffer.concat(fragments);
}

function nameOf(certificates: readonly Uint8Array[]): Chain {
  return certificates.map((der) => createHash('sha256').update(der).digest('hex')).join(' ');
}
