import { generateKeyPair, type KeyObject, type webcrypto } from 'node:crypto';
import { promisify } from 'node:util';

export type KeyType = 'ec-p256' | 'ec-p384' | 'rsa-2048' | 'rsa-1024' | 'ed25519';
export type Hash = 'SHA-256' | 'SHA-1';

export interface KeyPair {
  readonly keyType: KeyType;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

const generate = promisify(generateKeyPair);

/** A fresh key pair of the given kind. */
export async function generateKeys(keyType: KeyType): Promise<KeyPair> {
  switch (keyType) {
    case 'ec-p256':
      return { keyType, ...(await generate('ec', { namedCurve: 'P-256' })) };
    case 'ec-p384':
      return { keyType, ...(await generate('ec', { namedCurve: 'P-384' })) };
    case 'rsa-2048':
      return { keyType, ...(await generate('rsa', { modulusLength: 2048 })) };
    case 'rsa-1024':
      return { keyType, ...(await generate('rsa', { modulusLength: 1024 })) };
    case 'ed25519':
      return { keyType, ...(await generate('ed25519', {})) };
  }
}

/** The private key as a WebCrypto key that signs with `hash` (Ed25519 has its own and ignores it). */
export function signingKey(keys: KeyPair, hash: Hash): webcrypto.CryptoKey {
  switch (keys.keyType) {
    case 'ec-p256':
      return keys.privateKey.toCryptoKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign']);
    case 'ec-p384':
      return keys.privateKey.toCryptoKey({ name: 'ECDSA', namedCurve: 'P-384' }, true, ['sign']);
    case 'rsa-2048':
    case 'rsa-1024':
      return keys.privateKey.toCryptoKey({ name: 'RSASSA-PKCS1-v1_5', hash }, true, ['sign']);
    case 'ed25519':
      return keys.privateKey.toCryptoKey({ name: 'Ed25519' }, true, ['sign']);
  }
}

/** The key as PEM in PKCS#8, or in the older form of its type (SEC1, PKCS#1); Ed25519 has no older form. */
export function exportPrivateKey(keys: KeyPair, format: 'pkcs8' | 'traditional', passphrase?: string): string {
  const protection = passphrase === undefined ? {} : { cipher: 'aes-256-cbc', passphrase };
  const type = format === 'pkcs8' || keys.keyType === 'ed25519' ? 'pkcs8' : traditionalType(keys.keyType);
  return keys.privateKey.export({ type, format: 'pem', ...protection }).toString();
}

function traditionalType(keyType: KeyType): 'sec1' | 'pkcs1' {
  return keyType.startsWith('ec-') ? 'sec1' : 'pkcs1';
}
