import { createHmac } from 'node:crypto';
import { childrenOf, integerOf, type Node, octetsOf, oidOf } from './der.ts';
import { derivePbkdf2, derivePkcs12, digestNamed, type Effort, hmacNamed, type Password, purpose } from './derive.ts';

const pbmac1 = '1.2.840.113549.1.5.14';

const sizes: Readonly<Record<string, number>> = { md5: 16, sha1: 20, sha256: 32, sha384: 48, sha512: 64 };

/**
 * Whether the MAC of a keystore fits its content and a password (RFC 7292 §5.1, and RFC 9579 for PBMAC1).
 * @param macData the MacData of the keystore
 * @param content what it authenticates
 * @throws KeystoreFault KEYSTORE_UNREADABLE when the MAC is of an unknown kind or malformed
 */
export function macFits(macData: Node, content: Buffer, password: Password, effort: Effort): boolean {
  const [digestInfo, salt, count] = childrenOf(macData);
  const [algorithm, digest] = childrenOf(digestInfo);
  const [oid, parameters] = childrenOf(algorithm);
  const name = oidOf(oid);
  let hash: string;
  let key: Buffer;
  if (name === pbmac1) {
    const [derivation, scheme] = childrenOf(parameters);
    hash = hmacNamed(oidOf(childrenOf(scheme)[0]));
    key = derivePbkdf2(password, derivation, effort);
  } else {
    hash = digestNamed(name);
    const iterations = count === undefined ? 1 : integerOf(count);
    key = derivePkcs12(password, { salt: octetsOf(salt), iterations, hash }, purpose.mac, sizes[hash] ?? 0, effort);
  }
  return createHmac(hash, key).update(content).digest().equals(octetsOf(digest));
}
