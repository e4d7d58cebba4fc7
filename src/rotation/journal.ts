import type { TrustBundle, ValidatedIdentity } from '../certificates/index.ts';
import { coded, type Finding } from '../errors.ts';
import type { Conditions, Logger, Metrics } from '../observe/index.ts';
import { exchangedFor } from '../tls/index.ts';
import type { BundleVerdict } from './bundles.ts';
import { expiresSoon, setConditions } from './certificate-conditions.ts';
import { CertificateGauges } from './certificate-gauges.ts';
import type { PublishedGeneration } from './publisher.ts';
import { Rejections } from './rejections.ts';
import { type BundleStatus, bundleStatus, certificateStatus } from './status.ts';
import type { TicketKeyChange } from './ticket-keys.ts';
import type { Trial } from './trials.ts';
import type { Verdict } from './types.ts';

export type Trigger = 'start' | 'event' | 'resync' | 'signal' | 'api' | 'schedule' | 'retry' | 'rollback' | 'canary';

/** One certificate changed for another. */
export interface Rotation {
  /** RFC 3339. */
  readonly at: string;
  readonly certificate: string;
  /** Leaf fingerprints; null when there was none, or is none any more. */
  readonly from: string | null;
  readonly to: string | null;
  readonly trigger: Trigger;
  /** From the first sign of the change to serving it. */
  readonly durationMs: number;
  /** Connections that were asked to leave. */
  readonly drained: number;
}

const rotationsKept = 50;
/** Keeps what happened, and tells it: in the log, in metrics, in status. */
export class Journal {
  readonly #metrics: Metrics;
  readonly #conditions: Conditions;
  readonly #logger: Logger;
  readonly #rejections: Rejections;
  readonly #warned = new Map<string, ReadonlySet<string>>();
  #rotations: Rotation[] = [];
  #verdicts: readonly Verdict[] = [];
  /** Those that say of a certificate that not all is well, by id. */
  readonly #troubled = new Map<string, Verdict>();
  #trust: readonly BundleVerdict[] = [];
  #sourceFailures: readonly Finding[] = [];
  readonly #gauges: CertificateGauges;

  constructor(metrics: Metrics, conditions: Conditions, logger: Logger) {
    this.#metrics = metrics;
    this.#gauges = new CertificateGauges(metrics);
    this.#conditions = conditions;
    this.#logger = logger;
    this.#rejections = new Rejections(metrics, logger);
  }

  get rotations(): readonly Rotation[] {
    return this.#rotations;
  }

  get verdicts(): readonly Verdict[] {
    return this.#verdicts;
  }

  /** Whether a rejection was seen that is not reported yet because it may pass. */
  get undecided(): boolean {
    return this.#rejections.undecided;
  }

  /** A certificate was exchanged. */
  rotated(rotation: Rotation, next: ValidatedIdentity | null): void {
    this.#rotations = [rotation, ...this.#rotations].slice(0, rotationsKept);
    this.#metrics.certificateReloads.inc({ certificate: rotation.certificate, result: 'applied' });
    this.#metrics.reloadDuration.observe(rotation.durationMs / 1000);
    this.#metrics.reloadLastSuccess.set(Date.now() / 1000);
    const details = next ? { names: next.names, notAfter: new Date(next.leaf.notAfter).toISOString() } : {};
    this.#logger.info(
      { event: 'rotation', ...rotation, ...details },
      rotation.to ? 'certificate rotated' : 'certificate dropped',
    );
  }

  /** Trust bundles were exchanged with the last commit, if any were. */
  trustChanged(before: ReadonlyMap<string, TrustBundle>, after: ReadonlyMap<string, TrustBundle>): void {
    for (const [id, { fingerprint, authorityCount: authorities, crlCount: crls }] of after) {
      const from = before.get(id)?.fingerprint ?? null;
      if (from === fingerprint) continue;
      this.#logger.info(
        { event: 'trust', bundle: id, from, to: fingerprint, authorities, crls },
        'trust bundle changed',
      );
    }
  }

  /** Other ticket keys are in effect. */
  ticketKeysChanged(change: TicketKeyChange, trigger: Trigger): void {
    this.#metrics.ticketKeysRenewed.set(Date.now() / 1000);
    if (trigger === 'start') return;
    this.#logger.info({ event: 'ticket-keys', ...change }, 'ticket keys renewed');
  }

  /** A new certificate is given to some clients first. */
  trialBegan({ identity, promoteAt }: Trial): void {
    const { id, leaf } = identity;
    const line = { event: 'canary', certificate: id, to: leaf.fingerprint256 };
    this.#logger.info(
      { ...line, promoteAt: new Date(promoteAt).toISOString() },
      'certificate is given to some clients',
    );
  }

  /** Connections on certificates that were reported as compromised are being cut. */
  cut(certificates: readonly string[], connections: number): void {
    this.#logger.warn({ event: 'compromised', certificates, connections }, 'ticket keys renewed, connections cut');
  }

  /** What sources say of themselves. */
  noticed(source: string, warnings: readonly Finding[]): void {
    this.#warn({ id: source, warnings });
  }

  /**
   * A reconciliation came to its verdicts.
   * @param trust of the trust bundles
   * @param insistent report rejections now, even those that may be the middle of a change
   */
  decided(
    verdicts: readonly Verdict[],
    trust: readonly BundleVerdict[],
    sourceFailures: readonly Finding[],
    insistent: boolean,
  ): void {
    const exchanged = exchangedFor(this.#verdicts, verdicts);
    if (!exchanged) this.#troubled.clear();
    this.#verdicts = verdicts;
    this.#trust = trust;
    this.#sourceFailures = sourceFailures;
    const now = performance.now();
    const wrong = new Set<string>();
    for (const failure of sourceFailures) {
      wrong.add(`source:${failure.file}`);
      this.#rejections.add(`source:${failure.file}`, failure, now, insistent);
    }
    for (const verdict of exchanged ?? verdicts) {
      this.#warn(verdict);
      if (isTroubled(verdict)) this.#troubled.set(verdict.id, verdict);
      else this.#troubled.delete(verdict.id);
    }
    for (const verdict of this.#inTrouble()) {
      if (!verdict.error) continue;
      wrong.add(verdict.id);
      // Only what is rejected may be the middle of a change; what waits or has expired is whole.
      const certain = insistent || verdict.result !== 'rejected';
      // A source that cannot be read is told once, not once for each certificate in it.
      this.#rejections.add(verdict.id, verdict.error, now, certain, sourceFailures.includes(verdict.error));
    }
    for (const bundle of trust) {
      const key = `trust:${bundle.id}`;
      this.#warn({ id: key, warnings: bundle.warnings });
      if (!bundle.error) continue;
      wrong.add(key);
      this.#rejections.add(key, bundle.error, now, insistent);
    }
    this.#rejections.keep(wrong);
    this.looked();
  }

  /** In the order of ids. */
  #inTrouble(): readonly Verdict[] {
    return [...this.#troubled.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  /** The sources were read, and nothing had changed. */
  looked(): void {
    this.#metrics.watchLastCheck.set(Date.now() / 1000);
  }

  /** What is served changed, or what is on disk did: bring gauges and conditions up to date. */
  published(generation: PublishedGeneration): void {
    setConditions(this.#conditions, generation, this.#inTrouble(), this.#trust, this.#sourceFailures);
    this.#showTrust();
    this.#metrics.generation.set(generation.number);
    this.#gauges.show(generation, this.#verdicts);
  }

  #showTrust(): void {
    const m = this.#metrics;
    for (const family of [m.trustNotAfter, m.trustNextUpdate, m.trustDiskMatchesServed]) family.reset();
    for (const { id, served, diskMatchesServed } of this.#trust) {
      m.trustDiskMatchesServed.set({ bundle: id }, diskMatchesServed ? 1 : 0);
      if (!served) continue;
      m.trustNotAfter.set({ bundle: id }, Math.floor(served.notAfter / 1000));
      if (served.nextUpdate !== null) m.trustNextUpdate.set({ bundle: id }, Math.floor(served.nextUpdate / 1000));
    }
  }

  /** The certificates, as /status tells them. @param trialOf what is on trial under an id */
  status(generation: PublishedGeneration, trialOf: (id: string) => Trial | undefined = () => undefined) {
    return this.#verdicts
      .filter((verdict) => verdict.result !== 'dropped')
      .map((verdict) =>
        certificateStatus(verdict, generation, trialOf(verdict.id), this.#rejections.sinceOf(verdict.id)),
      );
  }

  /** The trust bundles, as /status tells them. */
  trustStatus(): BundleStatus[] {
    return this.#trust.map(bundleStatus);
  }

  #warn({ id, warnings }: Pick<Verdict, 'id' | 'warnings'>): void {
    const before = this.#warned.get(id);
    if (warnings.length === 0) {
      if (before) this.#warned.delete(id);
      return;
    }
    this.#warned.set(id, new Set(warnings.map(({ message }) => message)));
    for (const warning of warnings) {
      if (before?.has(warning.message)) continue;
      this.#logger.warn({ event: 'warning', certificate: id, ...coded(warning) }, warning.message);
    }
  }
}

function isTroubled(verdict: Verdict): boolean {
  return verdict.error !== null || verdict.state === 'expired' || expiresSoon(verdict);
}
