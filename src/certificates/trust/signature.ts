import { constants, type KeyObject, verify } from 'node:crypto';
import { type DerReader, tags } from './der.ts';

/** How something is signed, as far as it is accepted. */
export interface SignatureScheme {
  readonly kind: 'rsa' | 'rsa-pss' | 'ec' | 'eddsa';
  /** null where the scheme has its own. */
  readonly digest: string | null;
  /** Bytes; of RSA-PSS only. */
  readonly saltLength?: number;
}

const schemes: Readonly<Record<string, SignatureScheme>> = {
  '1.2.840.113549.1.1.14': { kind: 'rsa', digest: 'sha224' },
  '1.2.840.113549.1.1.11': { kind: 'rsa', digest: 'sha256' },
  '1.2.840.113549.1.1.12': { kind: 'rsa', digest: 'sha384' },
  '1.2.840.113549.1.1.13': { kind: 'rsa', digest: 'sha512' },
  '1.2.840.10045.4.3.1': { kind: 'ec', digest: 'sha224' },
  '1.2.840.10045.4.3.2': { kind: 'ec', digest: 'sha256' },
  '1.2.840.10045.4.3.3': { kind: 'ec', digest: 'sha384' },
  '1.2.840.10045.4.3.4': { kind: 'ec', digest: 'sha512' },
  '1.3.101.112': { kind: 'eddsa', digest: null },
  '1.3.101.113': { kind: 'eddsa', digest: null },
};
const rsaPss = '1.2.840.113549.1.1.10';
const mgf1 = '1.2.840.113549.1.1.8';
const digests: Readonly<Record<string, string>> = {
  '2.16.840.1.101.3.4.2.4': 'sha224',
  '2.16.840.1.101.3.4.2.1': 'sha256',
  '2.16.840.1.101.3.4.2.2': 'sha384',
  '2.16.840.1.101.3.4.2.3': 'sha512',
};

/** What an AlgorithmIdentifier says of a signature. */
export interface SignatureAlgorithm {
  readonly oid: string;
  /** null when it is not accepted: MD5 and SHA-1, and what is not known. */
  readonly scheme: SignatureScheme | null;
}

/**
 * Reads the content of an AlgorithmIdentifier (RFC 5280 §4.1.1.2).
 * @throws DerError
 */
export function readSignatureAlgorithm(algorithm: DerReader): SignatureAlgorithm {
  const oid = algorithm.oid();
  return { oid, scheme: oid === rsaPss ? readPss(algorithm) : (schemes[oid] ?? null) };
}

/** RSASSA-PSS-params (RFC 4055 §3.1). What is left out stands for SHA-1. */
function readPss(algorithm: DerReader): SignatureScheme | null {
  if (algorithm.done) return null;
  const parameters = algorithm.enter(tags.sequence);
  const hash = parameters.optional(0xa0);
  const mask = parameters.optional(0xa1);
  const salt = parameters.optional(0xa2);
  const digest = hash && digests[parameters.within(hash).enter(tags.sequence).oid()];
  if (!digest || !mask) return null;
  const generator = parameters.within(mask).enter(tags.sequence);
  const maskDigest = generator.oid() === mgf1 ? digests[generator.enter(tags.sequence).oid()] : null;
  if (maskDigest !== digest) return null;
  return { kind: 'rsa-pss', digest, saltLength: salt ? parameters.within(salt).smallInteger() : 20 };
}

/** Whether a signature over `data` was made with the private key of `key`. Never throws. */
export function isSigned(scheme: SignatureScheme, key: KeyObject, data: Buffer, signature: Buffer): boolean {
  const type = key.asymmetricKeyType ?? '';
  const fits =
    scheme.kind === 'eddsa'
      ? type.startsWith('ed')
      : type === scheme.kind || (scheme.kind === 'rsa-pss' && type === 'rsa');
  if (!fits) return false;
  const padding =
    scheme.kind === 'rsa-pss' ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: scheme.saltLength ?? 20 } : {};
  try {
    return verify(scheme.digest, data, { key, ...padding }, signature);
  } catch {
    return false;
  }
}
