import type { Finding } from '../errors.ts';
import type { WatchTarget } from '../files/index.ts';
import type { Secret } from './secret.ts';

/** The files an identity comes from, for messages. */
export interface IdentityFiles {
  readonly certificate: string;
  readonly key: string;
}

/** Bytes of an identity as a source found them. Not yet trusted. */
export interface IdentityMaterial {
  /** Path below the source, without the extension. */
  readonly id: string;
  /** The id of the source. */
  readonly source: string;
  readonly files: IdentityFiles;
  readonly certificatePem: string;
  readonly keyPem: Secret;
  readonly passphrase?: Secret;
  /** Overrides the names of the certificate. */
  readonly names?: readonly string[];
  /** The same for two that differ in nothing, where the source can tell without looking at all of it again. */
  readonly digest?: string;
}

/** Bytes of a trust bundle as a source found them: CA certificates and CRLs, PEM or DER. */
export interface TrustMaterial {
  /** The name under which the configuration refers to it. */
  readonly id: string;
  /** The id of the source. */
  readonly source: string;
  readonly files: readonly { readonly path: string; readonly bytes: Buffer }[];
}

/** What session ticket keys are made from, as a file holds it. */
export interface TicketKeyMaterial {
  /** The id of the source. */
  readonly source: string;
  /** Base64 of the key that the file names for sealing, 48 or 80 bytes. */
  readonly key: Secret;
}

/** What a source found: identities and trust bundles that can be validated, and what is wrong with the rest. */
export interface SourceMaterial {
  readonly identities: readonly IdentityMaterial[];
  readonly bundles?: readonly TrustMaterial[];
  readonly ticketKeys?: TicketKeyMaterial;
  /** When the source wants to be asked again, milliseconds since 1970; events and the resync come on top of it. */
  readonly askAgainAt?: number;
  readonly findings: readonly Finding[];
  /** What to watch to hear of the next change. */
  readonly watch: readonly WatchTarget[];
  /** How the identities differ from those of an earlier answer; absent when that is not known. */
  readonly since?: MaterialChange;
}

/** How identities differ from those of an earlier answer of the same source. */
export interface MaterialChange {
  /** The identities of that answer, the very object. */
  readonly identities: readonly IdentityMaterial[];
  /** What there is now under an id; null: nothing any more. Of all others the material is the same object. */
  readonly changed: ReadonlyMap<string, IdentityMaterial | null>;
}

/** How a source is to be read. */
export interface LoadOptions {
  /** Do not rely on time stamps. */
  readonly thorough: boolean;
  /**
   * Paths of which something was heard since the last reading, for a source of thousands of files: what else may have changed unheard is
   * found by the next reading without it.
   */
  readonly stirred?: readonly string[];
}

/** Where certificates come from. Sources never influence each other. */
export interface CertificateSource {
  /** The configured path; the `source` of status and logs. */
  readonly id: string;
  /** What to watch before anything was loaded. */
  readonly watch: readonly WatchTarget[];
  /** It holds what session ticket keys are made from, and no certificates. */
  readonly givesTicketKeys?: true;
  /**
   * Reads everything there is, consistently.
   * @throws FileFault when the source as a whole cannot be read
   */
  load(options: LoadOptions): Promise<SourceMaterial>;
  /** Gives back what the source holds, such as a thread; called once, on shutdown. */
  close?(): void;
}

export type KeyType = 'rsa-2048' | 'ec-p256' | 'ec-p384' | 'ed25519' | (string & {});

/** The facts of a leaf certificate. */
export interface LeafFacts {
  /** SHA-256 of the leaf, lower-case hex without colons. */
  readonly fingerprint256: string;
  readonly serialNumber: string;
  readonly subject: string;
  readonly issuer: string;
  readonly keyType: KeyType;
  /** SHA-256 of the SubjectPublicKeyInfo, lower-case hex: two certificates with one key agree in it. */
  readonly publicKey256: string;
  /** Milliseconds since 1970. */
  readonly notBefore: number;
  /** Milliseconds since 1970. */
  readonly notAfter: number;
}

declare const validated: unique symbol;

/** An identity that passed validation. Only `validate` makes one. */
export interface ValidatedIdentity {
  readonly [validated]: true;
  readonly id: string;
  readonly source: string;
  readonly files: IdentityFiles;
  /** Lower case, without trailing dot; `*.` in front for a wildcard. */
  readonly names: readonly string[];
  /** SHA-256 over the whole chain; the key belongs to the leaf, so this tells it too. Lower-case hex. */
  readonly fingerprint: string;
  readonly leaf: LeafFacts;
  /** Leaf first, without the root. */
  readonly chainPem: string;
  /** Decrypted, PKCS#8. */
  readonly keyPem: Secret;
}

/**
 * Milliseconds before its `notAfter` from which a certificate counts as expired: OpenSSL counts the last second as over, a change takes
 * a moment, and who has something better to show should show it by then.
 */
export const expiryLead = 1500;

/** Whether a certificate may be served at a moment (RFC 5280 §4.1.2.5). */
export type Validity = 'valid' | 'pending' | 'expired';

/** @param now milliseconds since 1970 */
export function validityOf(leaf: Pick<LeafFacts, 'notBefore' | 'notAfter'>, now: number): Validity {
  if (now < leaf.notBefore) return 'pending';
  return now > leaf.notAfter - expiryLead ? 'expired' : 'valid';
}
