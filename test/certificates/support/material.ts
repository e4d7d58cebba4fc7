import { type IdentityMaterial, Secret, type Validation, validate } from '../../../src/certificates/index.ts';
import type { Finding } from '../../../src/errors.ts';
import type { Leaf } from '../../support/pki.ts';

interface Parts {
  readonly certificatePem: string;
  readonly keyPem: string;
  readonly passphrase?: string;
  readonly names?: readonly string[];
}

/** What a source would hand on for `shop/tls.crt` and `shop/tls.key` with these contents. */
export function material({ certificatePem, keyPem, passphrase, names }: Parts): IdentityMaterial {
  return {
    id: 'shop/tls',
    source: '/certs',
    files: { certificate: '/certs/shop/tls.crt', key: '/certs/shop/tls.key' },
    certificatePem,
    keyPem: new Secret(keyPem),
    ...(passphrase === undefined ? {} : { passphrase: new Secret(passphrase) }),
    ...(names === undefined ? {} : { names }),
  };
}

/** Validates a leaf with its key, with parts of it replaced. */
export function validateLeaf(leaf: Leaf, replaced: Partial<Parts> = {}): Validation {
  return validate(material({ certificatePem: leaf.chainPem, keyPem: leaf.keyPem, ...replaced }));
}

/** `CODE severity` of each finding, in order. */
export function codesOf(findings: readonly Finding[]): string[] {
  return findings.map(({ code, severity }) => `${code} ${severity}`);
}

/** A PEM file whose boundaries are whole and whose content is not. */
export function damaged(pem: string): string {
  const lines = pem.trimEnd().split('\n');
  return [lines[0], ...lines.slice(1, lines.length / 2), lines.at(-1), ''].join('\n');
}

/** A PEM file that ends in the middle. */
export function truncated(pem: string): string {
  return pem.slice(0, pem.length / 2);
}
