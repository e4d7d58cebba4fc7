import { expiryLead, type ValidatedIdentity } from '../../../src/certificates/index.ts';
import { finding } from '../../../src/errors.ts';
import type { Candidate } from '../../../src/rotation/index.ts';

/** The moment at which synthetic identities are judged. */
export const now = Date.parse('2030-01-01');

export interface Facts {
  readonly id: string;
  readonly names?: readonly string[];
  readonly source?: string;
  /** Tells two certificates apart. */
  readonly version?: number;
  readonly notBefore?: number;
  readonly notAfter?: number;
  readonly keyType?: string;
  /** Tells two keys apart. */
  readonly key?: number;
  /** How many certificates its chain has. */
  readonly length?: number;
}

/** An identity with no more than what is decided by. */
export function synthetic({
  id,
  names = [`${id}.test`],
  source = 's',
  version = 0,
  key = version,
  length = 1,
  notAfter = now + 1000,
  ...more
}: Facts) {
  return {
    id,
    source,
    names,
    files: { certificate: `${id}.crt`, key: `${id}.key` },
    fingerprint: `${id}-${version}`,
    chainPem: '-----BEGIN CERTIFICATE-----\n'.repeat(length),
    leaf: {
      fingerprint256: `leaf-${id}-${version}`,
      publicKey256: `key-${id}-${key}`,
      keyType: 'ec-p256',
      notBefore: now - 1000,
      // As if the last moment at which it may be served were the last one of its validity.
      notAfter: notAfter + expiryLead,
      ...more,
    },
  } as unknown as ValidatedIdentity;
}

/** What is on disk: an identity that can be served. */
export function good(identity: ValidatedIdentity): Candidate {
  return { id: identity.id, source: identity.source, identity, findings: [] };
}

/** What is on disk: something that cannot be served. */
export function broken(id: string, source = 's'): Candidate {
  return {
    id,
    source,
    identity: null,
    findings: [finding('KEY_MISMATCH', 'error', { identity: id, file: `${id}.key` })],
  };
}

export function byId<T extends { readonly id: string }>(...items: readonly T[]): Map<string, T> {
  return new Map(items.map((item) => [item.id, item]));
}
