import './reflect-metadata.ts';
import { createHash, type KeyObject, randomBytes, sign as signBytes, webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import { element, extension, integer, sequence, utcTime } from './der.ts';
import type { Hash, KeyPair } from './keys.ts';

x509.cryptoProvider.set(webcrypto as unknown as Crypto);

/** Who signs: a distinguished name and its keys. */
export interface Issuer {
  readonly subject: string;
  readonly keys: KeyPair;
}

export interface CertificateRequest {
  subject: string;
  keys: KeyPair;
  issuer: Issuer;
  hash?: Hash | undefined;
  notBefore: Date;
  notAfter: Date;
  serial?: string | undefined;
  extensions: x509.Extension[];
}

/** `AlgorithmIdentifier`s in DER: RFC 5758 §3.2, RFC 8017 appendix C, RFC 8410 §3. */
const algorithms = {
  'ec SHA-256': '300a06082a8648ce3d040302',
  'ec SHA-1': '300906072a8648ce3d0401',
  'rsa SHA-256': '300d06092a864886f70d01010b0500',
  'rsa SHA-1': '300d06092a864886f70d0101050500',
  ed25519: '300506032b6570',
} as const;

function algorithmOf(keyType: KeyPair['keyType'], hash: Hash): Buffer {
  if (keyType === 'ed25519') return Buffer.from(algorithms.ed25519, 'hex');
  return Buffer.from(algorithms[`${keyType.startsWith('ec-') ? 'ec' : 'rsa'} ${hash}`], 'hex');
}

/**
 * Signs a certificate and returns its PEM; key identifiers are added to the given extensions. It is put together by hand: the library takes
 * apart what it has made, which takes longer than most tests that need a certificate.
 */
export async function sign(request: CertificateRequest): Promise<string> {
  const { issuer, keys } = request;
  const hash = request.hash ?? 'SHA-256';
  const algorithm = algorithmOf(issuer.keys.keyType, hash);
  const toBeSigned = sequence(
    element(0xa0, integer('02')),
    element(2, serialNumber(request.serial)),
    algorithm,
    nameOf(issuer.subject),
    sequence(timeOf(request.notBefore), timeOf(request.notAfter)),
    nameOf(request.subject),
    spki(keys.publicKey),
    element(
      0xa3,
      sequence(
        ...request.extensions.map(({ rawData }) => new Uint8Array(rawData)),
        extension('551d0e', false, element(4, keyIdentifier(keys.publicKey))),
        extension('551d23', false, sequence(element(0x80, keyIdentifier(issuer.keys.publicKey)))),
      ),
    ),
  );
  const digest = issuer.keys.keyType === 'ed25519' ? null : hash.replace('-', '');
  const signature = signBytes(digest, toBeSigned, issuer.keys.privateKey);
  const certificate = sequence(toBeSigned, algorithm, element(3, Buffer.of(0), signature));
  const lines = certificate.toString('base64').replaceAll(/.{64}(?!$)/g, '$&\n');
  return `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`;
}

const names = new Map<string, Uint8Array>();

function nameOf(text: string): Uint8Array {
  const name = names.get(text) ?? new Uint8Array(new x509.Name(text).toArrayBuffer());
  names.set(text, name);
  return name;
}

function serialNumber(hex: string | undefined): Buffer {
  const bytes =
    hex === undefined ? randomBytes(16) : Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex');
  if (hex === undefined) bytes[0] = 0x40 | ((bytes[0] ?? 0) & 0x3f);
  return (bytes[0] ?? 0) > 0x7f ? Buffer.concat([Buffer.of(0), bytes]) : bytes;
}

/** RFC 5280 §4.1.2.5: two digits of the year through 2049. */
function timeOf(date: Date): Buffer {
  const text = date.toISOString().replaceAll(/[-:T]|\.\d+/g, '');
  const year = date.getUTCFullYear();
  return year >= 1950 && year < 2050 ? utcTime(text.slice(2)) : element(0x18, Buffer.from(text));
}

function spki(key: KeyObject): Buffer {
  return key.export({ type: 'spki', format: 'der' });
}

/** RFC 5280 §4.2.1.2, method 1: SHA-1 of the public key, without what says of which type it is. */
function keyIdentifier(key: KeyObject): Buffer {
  const bytes = spki(key);
  // Past the head of the sequence, the algorithm, and the head of the bit string with its number of unused bits.
  const start = (at: number) => at + 2 + Math.max(0, (bytes[at + 1] ?? 0) - 0x80);
  const algorithm = start(0);
  const bits = start(algorithm) + (bytes[algorithm + 1] ?? 0);
  return createHash('sha1')
    .update(bytes.subarray(start(bits) + 1))
    .digest();
}

/** What WebCrypto calls a signature by these keys. */
export function signatureAlgorithm(keys: KeyPair, hash: Hash): webcrypto.EcdsaParams {
  if (keys.keyType.startsWith('ec-')) return { name: 'ECDSA', hash };
  return { name: keys.keyType === 'ed25519' ? 'Ed25519' : 'RSASSA-PKCS1-v1_5', hash };
}
