import { pbkdf2Sync } from 'node:crypto';
import forge from 'node-forge';
import { childrenOf, integerOf, isInteger, type Node, octetsOf, oidOf } from './der.ts';
import { unreadable } from './fault.ts';

/** A password as the key derivations take it: null is none at all, which is not the same as an empty one (RFC 7292 §B.1). */
export type Password = string | null;

/** Rounds of hashing that one keystore may ask for, all in all: a thousand times what Java and OpenSSL write. */
const iterationLimit = 10_000_000;

/** Counts the iterations that a keystore asks for, and refuses before the time is spent. */
export class Effort {
  #left = iterationLimit;

  /** @throws KeystoreFault KEYSTORE_UNREADABLE when it is too much */
  spend(iterations: number): number {
    if (iterations < 1) throw unreadable('is damaged: it asks for no iterations of hashing');
    this.#left -= iterations;
    if (this.#left < 0) throw unreadable(`asks for more than ${iterationLimit} iterations of hashing`);
    return iterations;
  }
}

const digests: Readonly<Record<string, string>> = {
  '1.2.840.113549.2.5': 'md5',
  '1.3.14.3.2.26': 'sha1',
  '2.16.840.1.101.3.4.2.1': 'sha256',
  '2.16.840.1.101.3.4.2.2': 'sha384',
  '2.16.840.1.101.3.4.2.3': 'sha512',
};

const hmacs: Readonly<Record<string, string>> = {
  '1.2.840.113549.2.7': 'sha1',
  '1.2.840.113549.2.8': 'sha224',
  '1.2.840.113549.2.9': 'sha256',
  '1.2.840.113549.2.10': 'sha384',
  '1.2.840.113549.2.11': 'sha512',
};

/** The hash of a digest algorithm, by the name that node:crypto knows it by. */
export function digestNamed(oid: string): string {
  return digests[oid] ?? refuse('hash function', oid);
}

/** The hash of an HMAC algorithm. */
export function hmacNamed(oid: string): string {
  return hmacs[oid] ?? refuse('HMAC', oid);
}

/** @throws KeystoreFault KEYSTORE_UNREADABLE: the keystore uses something that is not known here */
export function refuse(what: string, oid: string): never {
  throw unreadable(`is protected by a ${what} that is not known (${oid})`);
}

/** What PKCS#12's own derivation makes (RFC 7292 §B.3). */
export const purpose = { key: 1, iv: 2, mac: 3 } as const;

/**
 * PKCS#12's own key derivation (RFC 7292 §B.2).
 * @param size bytes to derive
 */
export function derivePkcs12(
  password: Password,
  { salt, iterations, hash }: { readonly salt: Buffer; readonly iterations: number; readonly hash: string },
  use: (typeof purpose)[keyof typeof purpose],
  size: number,
  effort: Effort,
): Buffer {
  const md = (forge.md as unknown as Record<string, { create(): forge.md.MessageDigest }>)[hash];
  if (!md) throw unreadable(`is protected by a hash function that is not known (${hash})`);
  effort.spend(iterations);
  const bytes = new forge.util.ByteStringBuffer(salt.toString('latin1'));
  const key = forge.pkcs12.generateKey(password, bytes, use, iterations, size, md.create());
  return Buffer.from(key.getBytes(), 'latin1');
}

const pbkdf2 = '1.2.840.113549.1.5.12';
const keyLimit = 1024;

/**
 * PBKDF2 as an AlgorithmIdentifier describes it (RFC 8018 §A.2), of the password in UTF-8.
 * @param size bytes to derive; what the parameters say when left out
 */
export function derivePbkdf2(password: Password, algorithm: Node | undefined, effort: Effort, size?: number): Buffer {
  const [oid, parameters] = childrenOf(algorithm);
  if (oidOf(oid) !== pbkdf2) refuse('key derivation', oidOf(oid));
  const [salt, count, ...rest] = childrenOf(parameters);
  const length = isInteger(rest[0]) ? integerOf(rest.shift()) : undefined;
  const hash = rest[0] ? hmacNamed(oidOf(childrenOf(rest[0])[0])) : 'sha1';
  const bytes = size ?? length ?? 0;
  if (bytes < 1 || bytes > keyLimit) throw unreadable('is damaged: it asks for a key of no sensible length');
  return pbkdf2Sync(password ?? '', octetsOf(salt), effort.spend(integerOf(count)), bytes, hash);
}
