import { type ClientVerdict, type TrustBundle, verifyClient, verifyLeafOnly } from '../certificates/index.ts';
import type { ClientCertificate } from './client-certificate.ts';

interface Remembered {
  readonly fingerprint: string;
  readonly verdict: ClientVerdict;
}

/**
 * Whether client certificates are trusted, by the bundles that are in use at the moment: what was accepted under an older bundle does
 * not count. A verdict is worked out once for each connection and bundle.
 */
export class ClientTrust {
  readonly #bundleOf: (name: string) => TrustBundle | undefined;
  readonly #now: () => number;
  readonly #verdicts = new WeakMap<ClientCertificate, Map<string, Remembered>>();

  /**
   * @param bundleOf the bundle of a name that is in use now
   * @param now milliseconds since 1970
   */
  constructor(bundleOf: (name: string) => TrustBundle | undefined, now: () => number = Date.now) {
    this.#bundleOf = bundleOf;
    this.#now = now;
  }

  /** @param trust the name of a bundle; one that was never loaded trusts nobody */
  verdictOn(certificate: ClientCertificate, trust: string): ClientVerdict {
    const bundle = this.#bundleOf(trust);
    if (!bundle) return { ok: false, reason: 'unknown-authority', detail: `the trust bundle ${trust} is not loaded` };
    if (certificate.fault !== null) return { ok: false, reason: 'invalid', detail: certificate.fault };
    const now = this.#now();
    const verdicts = this.#verdicts.get(certificate) ?? new Map<string, Remembered>();
    this.#verdicts.set(certificate, verdicts);
    const known = verdicts.get(trust);
    if (known?.fingerprint === bundle.fingerprint && (!known.verdict.ok || now <= known.verdict.trustedUntil)) {
      return known.verdict;
    }
    const verdict = verify(bundle, certificate, now);
    verdicts.set(trust, { fingerprint: bundle.fingerprint, verdict });
    return verdict;
  }
}

function verify(bundle: TrustBundle, { chain, resumed }: ClientCertificate, now: number): ClientVerdict {
  const verdict = verifyClient(bundle, chain, now);
  const [leaf] = chain;
  // A resumed session brings the leaf alone. Its chain was verified when it began, and under this bundle: ticket keys go with the bundles.
  const chainUnknown = resumed && chain.length === 1 && !verdict.ok && verdict.reason === 'unknown-authority';
  return chainUnknown && leaf ? verifyLeafOnly(bundle, leaf, now) : verdict;
}
