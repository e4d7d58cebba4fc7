import { X509Certificate } from 'node:crypto';
import { isAnchored, type TrustBundle, type ValidatedIdentity } from '../certificates/index.ts';

const boundary = /(?=-----BEGIN CERTIFICATE-----)/;
/** What was found out about a chain under one content of the bundle. */
const known = new WeakMap<ValidatedIdentity, { readonly bundle: string; readonly anchored: boolean }>();

/**
 * Why a chain is not anchored in a trust bundle; null when it is.
 * @param name of the bundle
 * @param bundle undefined when it could not be loaded: then nothing is anchored in it
 */
export function whyUnanchored(
  identity: ValidatedIdentity,
  name: string,
  bundle: TrustBundle | undefined,
): string | null {
  if (!bundle) return `the trust bundle ${name} is not loaded`;
  let result = known.get(identity);
  if (result?.bundle !== bundle.fingerprint) {
    const chain = identity.chainPem.split(boundary).map((pem) => new X509Certificate(pem));
    result = { bundle: bundle.fingerprint, anchored: isAnchored(bundle, chain) };
    known.set(identity, result);
  }
  return result.anchored ? null : `${identity.files.certificate} does not lead to an authority of ${name}`;
}
