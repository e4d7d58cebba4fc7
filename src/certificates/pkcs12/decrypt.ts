import { createDecipheriv } from 'node:crypto';
import forge from 'node-forge';
import { childrenOf, integerOf, type Node, octetsOf, oidOf, readTree } from './der.ts';
import { derivePbkdf2, derivePkcs12, type Effort, type Password, purpose, refuse } from './derive.ts';

/** Something encrypted: the AlgorithmIdentifier and what it was applied to. */
export interface Sealed {
  readonly algorithm: Node | undefined;
  readonly bytes: Buffer;
}

const pbes2 = '1.2.840.113549.1.5.13';

/** Encryption schemes of PBES2 (RFC 8018 §B.2), with the size of the key in bytes. */
const schemes: Readonly<Record<string, readonly [name: string, keySize: number]>> = {
  '2.16.840.1.101.3.4.1.2': ['aes-128-cbc', 16],
  '2.16.840.1.101.3.4.1.22': ['aes-192-cbc', 24],
  '2.16.840.1.101.3.4.1.42': ['aes-256-cbc', 32],
  '1.2.840.113549.3.7': ['des-ede3-cbc', 24],
};

/** Ciphers of PKCS#12's own encryption (RFC 7292 §C), with the size of the key in bytes. */
const ciphers: Readonly<Record<string, readonly [name: 'des-ede3' | 'des-ede' | 'rc2', keySize: number]>> = {
  '1.2.840.113549.1.12.1.3': ['des-ede3', 24],
  '1.2.840.113549.1.12.1.4': ['des-ede', 16],
  '1.2.840.113549.1.12.1.5': ['rc2', 16],
  '1.2.840.113549.1.12.1.6': ['rc2', 5],
};

/**
 * Decrypts what must turn out to be DER.
 * @returns null when the password does not open it
 * @throws KeystoreFault KEYSTORE_UNREADABLE when the encryption is not known or malformed
 */
export function unseal({ algorithm, bytes }: Sealed, password: Password, effort: Effort): Buffer | null {
  const [oid, parameters] = childrenOf(algorithm);
  const name = oidOf(oid);
  const plain =
    name === pbes2
      ? underPbes2(parameters, bytes, password, effort)
      : underPkcs12(name, parameters, bytes, password, effort);
  return plain && isTree(plain) ? plain : null;
}

function underPbes2(parameters: Node | undefined, bytes: Buffer, password: Password, effort: Effort): Buffer | null {
  const [derivation, encryption] = childrenOf(parameters);
  const [oid, iv] = childrenOf(encryption);
  const [cipher, size] = schemes[oidOf(oid)] ?? refuse('cipher', oidOf(oid));
  return decipher(cipher, derivePbkdf2(password, derivation, effort, size), octetsOf(iv), bytes);
}

function underPkcs12(
  oid: string,
  parameters: Node | undefined,
  bytes: Buffer,
  password: Password,
  effort: Effort,
): Buffer | null {
  const [cipher, size] = ciphers[oid] ?? refuse('cipher', oid);
  const [salt, count] = childrenOf(parameters);
  const how = { salt: octetsOf(salt), iterations: integerOf(count), hash: 'sha1' };
  const key = derivePkcs12(password, how, purpose.key, size, effort);
  const iv = derivePkcs12(password, how, purpose.iv, 8, effort);
  if (cipher === 'rc2') return decipherRc2(key, iv, bytes);
  // Two-key triple DES uses its first key twice.
  const whole = cipher === 'des-ede' ? Buffer.concat([key, key.subarray(0, 8)]) : key;
  return decipher('des-ede3-cbc', whole, iv, bytes);
}

function decipher(name: string, key: Buffer, iv: Buffer, bytes: Buffer): Buffer | null {
  try {
    const cipher = createDecipheriv(name, key, iv);
    return Buffer.concat([cipher.update(bytes), cipher.final()]);
  } catch {
    return null;
  }
}

/** OpenSSL keeps RC2 in its legacy provider, which Node.js does not load. */
function decipherRc2(key: Buffer, iv: Buffer, bytes: Buffer): Buffer | null {
  if (bytes.length === 0 || bytes.length % 8 !== 0) return null;
  const cipher = forge.rc2.createDecryptionCipher(key.toString('latin1'), key.length * 8);
  cipher.start(iv.toString('latin1'));
  cipher.update(forge.util.createBuffer(bytes.toString('latin1')));
  return cipher.finish() ? Buffer.from(cipher.output.getBytes(), 'latin1') : null;
}

/** Padding looks right by chance once in 256 times; a whole tree does not. */
function isTree(bytes: Buffer): boolean {
  try {
    return Array.isArray(readTree(bytes).value);
  } catch {
    return false;
  }
}
