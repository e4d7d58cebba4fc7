import { type ClientVerdict, type TrustBundle, verifyClient } from '../certificates/index.ts';
import type { ClientCertificate } from './client-certificate.ts';

interface Remembered {
  readonly fingerprint: string;
  readonly verdict: ClientVerdict;
  /** Milliseconds since 1970. */
  readonly until: number;
}

/** Milliseconds after which a refusal is worked out again: the certificate may have become valid. */
const refusalLasts = 1000;

/**
 * Whether client certificates are trusted, by the bundles that are in use at the moment: what was accepted under an older bundle does
 * not count, nor does what the TLS library says, least of all on a resumed session. A verdict is worked out once for each connection and
 * bundle, for as long as it holds.
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
    if (known?.fingerprint === bundle.fingerprint && now <= known.until) return known.verdict;
    const verdict = verifyClient(bundle, certificate.chain, now);
    const until = verdict.ok ? verdict.trustedUntil : now + refusalLasts;
    verdicts.set(trust, { fingerprint: bundle.fingerprint, verdict, until });
    return verdict;
  }
}
