import { execFile } from 'node:child_process';
import { createHmac, pbkdf2Sync } from 'node:crypto';
import forge from 'node-forge';

type Node = forge.asn1.Asn1;
const { asn1, pki } = forge;
const { UNIVERSAL, CONTEXT_SPECIFIC } = asn1.Class;
const { INTEGER, NULL, OCTETSTRING, OID, SEQUENCE } = asn1.Type;

export interface KeystoreOptions {
  readonly passphrase?: string;
  /** friendlyName, what Java calls the alias. */
  readonly name?: string;
  /** More arguments for `openssl pkcs12 -export`, such as `-legacy`. */
  readonly args?: readonly string[];
}

/** A keystore as `openssl pkcs12 -export` writes it of a private key and certificates in PEM. */
export function makeKeystore(pem: string, options: KeystoreOptions = {}): Promise<Buffer> {
  const { passphrase = '', name, args = [] } = options;
  const named = name === undefined ? [] : ['-name', name];
  const all = ['pkcs12', '-export', '-passout', 'env:KEYSTORE_PASSPHRASE', ...named, ...args];
  return new Promise((resolve, reject) => {
    const env = { ...process.env, KEYSTORE_PASSPHRASE: passphrase };
    const child = execFile('openssl', all, { encoding: 'buffer', env }, (error, stdout) => {
      if (error) reject(error);
      else resolve(stdout);
    });
    child.stdin?.end(pem);
  });
}

/** The parts of a keystore (ContentInfo, RFC 7292 §4.1): as OpenSSL writes it, the certificates, then the key. */
export function partsOf(keystore: Buffer): Node[] {
  return childrenOf(asn1.fromDer(contentOf(asn1.fromDer(keystore.toString('latin1')))));
}

export interface SealOptions {
  /** Iterations of the MAC. */
  readonly iterations?: number;
  /** PBMAC1 (RFC 9579) instead of PKCS#12's own MAC. */
  readonly pbmac1?: boolean;
  /** Write the content in pieces, as BER allows and Windows does. */
  readonly pieces?: boolean;
}

/**
 * A keystore of the parts of others, under a MAC of its own: what openssl refuses to write, such as several keys.
 * @param passphrase null for none at all, which is not the same as an empty one
 */
export function sealParts(parts: readonly Node[], passphrase: string | null, options: SealOptions = {}): Buffer {
  const content = asn1.toDer(sequence(...parts)).getBytes();
  const authSafe = options.pieces
    ? asn1.create(UNIVERSAL, OCTETSTRING, true, [octets(content.slice(0, 100)), octets(content.slice(100))])
    : octets(content);
  const data = sequence(oid('1.2.840.113549.1.7.1'), asn1.create(CONTEXT_SPECIFIC, 0, true, [authSafe]));
  const mac = options.pbmac1
    ? pbmac1(content, passphrase ?? '')
    : pkcs12Mac(content, passphrase, options.iterations ?? 1);
  return Buffer.from(asn1.toDer(sequence(integer(3), data, mac)).getBytes(), 'latin1');
}

/** The keystore with another number of iterations for its MAC, which then does not fit any more. */
export function withMacIterations(keystore: Buffer, der: readonly number[]): Buffer {
  const pfx = asn1.fromDer(keystore.toString('latin1'));
  const [info, salt] = childrenOf(childrenOf(pfx)[2]);
  const count = asn1.create(UNIVERSAL, INTEGER, false, String.fromCharCode(...der));
  (pfx.value as Node[])[2] = sequence(info as Node, salt as Node, count);
  return Buffer.from(asn1.toDer(pfx).getBytes(), 'latin1');
}

/** A part that holds a bag of an unknown kind, as Java's for a secret key. */
export function unknownPart(): Node {
  const bag = sequence(oid('1.2.840.113549.1.12.10.1.5'), asn1.create(CONTEXT_SPECIFIC, 0, true, [octets('unknown')]));
  const data = octets(asn1.toDer(sequence(bag)).getBytes());
  return sequence(oid('1.2.840.113549.1.7.1'), asn1.create(CONTEXT_SPECIFIC, 0, true, [data]));
}

/**
 * The keystore with one byte changed in the part of that number.
 * @param share where in the part, from 0 to 1, its last byte
 */
export function damagedPart(keystore: Buffer, part: number, share = 0.7): Buffer {
  const bytes = asn1.toDer(partsOf(keystore)[part] as Node).getBytes();
  const at = keystore.toString('latin1').indexOf(bytes) + Math.floor((bytes.length - 1) * share);
  const damaged = Buffer.from(keystore);
  damaged.writeUInt8(damaged.readUInt8(at) ^ 0xff, at);
  return damaged;
}

function pkcs12Mac(content: string, passphrase: string | null, iterations: number): Node {
  const salt = 'saltsalt';
  const buffer = new forge.util.ByteStringBuffer(salt);
  const key = forge.pkcs12.generateKey(passphrase, buffer, 3, iterations, 32, forge.md.sha256.create());
  const digest = hmac(Buffer.from(key.getBytes(), 'latin1'), content);
  const algorithm = sequence(oid(pki.oids['sha256'] ?? ''), asn1.create(UNIVERSAL, NULL, false, ''));
  return sequence(sequence(algorithm, octets(digest)), octets(salt), integer(iterations));
}

function pbmac1(content: string, passphrase: string): Node {
  const salt = 'saltsalt';
  const hmacSha256 = sequence(oid('1.2.840.113549.2.9'), asn1.create(UNIVERSAL, NULL, false, ''));
  const parameters = sequence(octets(salt), integer(1000), integer(32), hmacSha256);
  const derivation = sequence(oid('1.2.840.113549.1.5.12'), parameters);
  const algorithm = sequence(oid('1.2.840.113549.1.5.14'), sequence(derivation, hmacSha256));
  const digest = hmac(pbkdf2Sync(passphrase, salt, 1000, 32, 'sha256'), content);
  return sequence(sequence(algorithm, octets(digest)), octets('unused'), integer(1));
}

function hmac(key: Buffer, content: string): string {
  return createHmac('sha256', key).update(content, 'latin1').digest('latin1');
}

function contentOf(pfx: Node): string {
  const [, info] = childrenOf(pfx);
  return childrenOf(childrenOf(info)[1])[0]?.value as string;
}

function childrenOf(node: Node | undefined): Node[] {
  if (!Array.isArray(node?.value)) throw new TypeError('no constructed value');
  return node.value;
}

function sequence(...nodes: Node[]): Node {
  return asn1.create(UNIVERSAL, SEQUENCE, true, nodes);
}

function octets(bytes: string): Node {
  return asn1.create(UNIVERSAL, OCTETSTRING, false, bytes);
}

function integer(value: number): Node {
  return asn1.create(UNIVERSAL, INTEGER, false, asn1.integerToDer(value).getBytes());
}

function oid(dotted: string): Node {
  return asn1.create(UNIVERSAL, OID, false, asn1.oidToDer(dotted).getBytes());
}
