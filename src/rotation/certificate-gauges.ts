import type { Metrics } from '../observe/index.ts';
import type { PublishedGeneration } from './publisher.ts';
import type { Verdict } from './types.ts';

type Gauges = Pick<
  Metrics,
  'certificateInfo' | 'certificateNotAfter' | 'certificateNotBefore' | 'certificateDiskMatchesServed'
>;

interface Shown {
  readonly generation: PublishedGeneration;
  readonly verdicts: readonly Verdict[];
}

/**
 * The gauges that there is one of for each certificate. They are written when somebody reads them: with thousands of certificates that takes
 * longer than to change one of them.
 */
export class CertificateGauges {
  #shown: Shown | null = null;

  constructor(gauges: Gauges) {
    const { certificateInfo, certificateNotAfter, certificateNotBefore, certificateDiskMatchesServed } = gauges;
    this.#fill(certificateInfo, ({ generation }) => {
      for (const { identity } of generation.served.values()) {
        const { fingerprint256, keyType } = identity.leaf;
        certificateInfo.set({ certificate: identity.id, fingerprint256, key_type: keyType }, 1);
      }
    });
    this.#fill(certificateNotAfter, ({ generation }) => {
      for (const { identity } of generation.served.values()) {
        certificateNotAfter.set({ certificate: identity.id }, Math.floor(identity.leaf.notAfter / 1000));
      }
    });
    this.#fill(certificateNotBefore, ({ generation }) => {
      for (const { identity } of generation.served.values()) {
        certificateNotBefore.set({ certificate: identity.id }, Math.floor(identity.leaf.notBefore / 1000));
      }
    });
    this.#fill(certificateDiskMatchesServed, ({ verdicts }) => {
      for (const { id, result, diskMatchesServed } of verdicts) {
        if (result !== 'dropped') certificateDiskMatchesServed.set({ certificate: id }, diskMatchesServed ? 1 : 0);
      }
    });
  }

  /** This is to be shown from now on. */
  show(generation: PublishedGeneration, verdicts: readonly Verdict[]): void {
    this.#shown = { generation, verdicts };
  }

  #fill(gauge: { collect?: () => void; reset(): void }, write: (shown: Shown) => void): void {
    let written: Shown | null = null;
    gauge.collect = () => {
      const shown = this.#shown;
      if (shown === written || !shown) return;
      written = shown;
      gauge.reset();
      write(shown);
    };
  }
}
