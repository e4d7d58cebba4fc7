import assert from 'node:assert/strict';
import { type BundleValidation, type TrustBundle, validateBundle } from '../../../../src/certificates/index.ts';
import type { Authority, Leaf, LeafOptions } from '../../../support/pki.ts';

/** What a source would hand on for files of these contents, named `/trust/0`, `/trust/1`, … */
export function validated(...contents: readonly (string | Buffer)[]): BundleValidation {
  const files = contents.map((content, i) => ({ path: `/trust/${i}`, bytes: Buffer.from(content) }));
  return validateBundle({ id: 'clients', source: '/trust', files });
}

/** A bundle of these files, which must be usable. */
export function bundleOf(...contents: readonly (string | Buffer)[]): TrustBundle {
  const { bundle, findings } = validated(...contents);
  assert.ok(bundle, findings.map(({ message }) => message).join('; '));
  return bundle;
}

/** A certificate of a TLS client. */
export function issueClient(authority: Authority, options: LeafOptions = {}): Promise<Leaf> {
  return authority.issue({ names: ['client.test'], eku: ['clientAuth'], ...options });
}

/** The DER of a PEM block. */
export function derOf(pem: string): Buffer {
  return Buffer.from(pem.replaceAll(/-----.*-----|\s/g, ''), 'base64');
}
