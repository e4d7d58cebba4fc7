import { createHash, createPrivateKey, type KeyObject, sign, verify, type X509Certificate } from 'node:crypto';
import { type P256Key, publicHalf256, readP256Key } from './p256-key.ts';
import type { PemBlock } from './pem.ts';
import type { Secret } from './secret.ts';
import type { KeyType } from './types.ts';

/** A private key, as far as validation asks it. */
export interface PrivateKey {
  readonly type: KeyType;
  /** Of RSA; undefined for others. */
  readonly modulusLength: number | undefined;
  /** OpenSSL's name of it; undefined where there is none. */
  readonly curve: string | undefined;
  /** Whether a certificate was issued for it. */
  owns(certificate: X509Certificate): boolean;
  /** Whether it can do what a handshake needs, with a certificate that it owns. */
  signsFor(certificate: X509Certificate): boolean;
  /** SHA-256 of the SubjectPublicKeyInfo of a certificate that it owns, lower-case hex. */
  publicKey256(certificate: X509Certificate): string;
  /** PKCS#8, not encrypted. */
  toPem(): string;
}

/**
 * Opens a private key.
 * @throws what OpenSSL says, which may quote what was read
 */
export function openPrivateKey(block: PemBlock, passphrase: Secret | undefined): PrivateKey {
  const common = block.label === 'PRIVATE KEY' ? readP256Key(block.pem) : null;
  if (common) return new CommonKey(common);
  // The empty passphrase keeps OpenSSL from asking for one on the terminal.
  return new AnyKey(createPrivateKey({ key: block.pem, format: 'pem', passphrase: passphrase?.reveal() ?? '' }));
}

/** P-256 in PKCS#8: its two halves were found to belong together when it was read. */
class CommonKey implements PrivateKey {
  readonly type = 'ec-p256';
  readonly modulusLength = undefined;
  readonly curve = 'prime256v1';
  readonly #key: P256Key;
  #known: { readonly certificate: X509Certificate; readonly hash: string | null } | null = null;

  constructor(key: P256Key) {
    this.#key = key;
  }

  owns(certificate: X509Certificate): boolean {
    return this.#hashOf(certificate) !== null;
  }

  signsFor(certificate: X509Certificate): boolean {
    return this.owns(certificate);
  }

  publicKey256(certificate: X509Certificate): string {
    return this.#hashOf(certificate) ?? '';
  }

  toPem(): string {
    return this.#key.pem;
  }

  #hashOf(certificate: X509Certificate): string | null {
    if (this.#known?.certificate !== certificate) {
      this.#known = { certificate, hash: publicHalf256(certificate, this.#key) };
    }
    return this.#known.hash;
  }
}

class AnyKey implements PrivateKey {
  readonly type: KeyType;
  readonly modulusLength: number | undefined;
  readonly curve: string | undefined;
  readonly #key: KeyObject;

  constructor(key: KeyObject) {
    this.#key = key;
    this.modulusLength = key.asymmetricKeyDetails?.modulusLength;
    this.curve = key.asymmetricKeyDetails?.namedCurve;
    this.type = typeOf(key.asymmetricKeyType ?? 'unknown', this.modulusLength, this.curve);
  }

  owns(certificate: X509Certificate): boolean {
    return certificate.checkPrivateKey(this.#key);
  }

  /**
   * A private key carries its public one along, and it is that which `checkPrivateKey` compares: half a new key written over an old one
   * passes there, and fails every handshake. So it has to sign something.
   */
  signsFor({ publicKey }: X509Certificate): boolean {
    const digest = this.#key.asymmetricKeyType?.startsWith('ed') ? null : 'sha256';
    const text = Buffer.from('proof of possession');
    try {
      return verify(digest, text, publicKey, sign(digest, text, this.#key));
    } catch {
      return false;
    }
  }

  publicKey256({ publicKey }: X509Certificate): string {
    return createHash('sha256')
      .update(publicKey.export({ type: 'spki', format: 'der' }))
      .digest('hex');
  }

  toPem(): string {
    return this.#key.export({ type: 'pkcs8', format: 'pem' }) as string;
  }
}

function typeOf(type: string, modulusLength: number | undefined, namedCurve = 'unknown'): KeyType {
  if (type === 'rsa' || type === 'rsa-pss') return `${type}-${modulusLength}`;
  if (type !== 'ec') return type;
  const short = { prime256v1: 'p256', secp384r1: 'p384', secp521r1: 'p521' }[namedCurve];
  return `ec-${short ?? namedCurve}`;
}
