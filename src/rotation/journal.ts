import type { TrustBundle, ValidatedIdentity } from '../certificates/index.ts';
import { coded, type Finding } from '../errors.ts';
import type { Conditions, Logger, Metrics } from '../observe/index.ts';
import { exchangedFor } from '../tls/index.ts';
import type { BundleVerdict } from './bundles.ts';
import { CertificateGauges } from './certificate-gauges.ts';
import type { PublishedGeneration } from './publisher.ts';
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
/** Milliseconds for which a rejection may be the middle of a change (one file of a pair renamed, the other to come). */
const grace = 500;

interface Rejection {
  readonly key: string;
  readonly since: number;
  readonly at: string;
  reported: boolean;
  /** There is a line about it in the log. */
  told: boolean;
}

/** Keeps what happened, and tells it: in the log, in metrics, in status. */
export class Journal {
  readonly #metrics: Metrics;
  readonly #conditions: Conditions;
  readonly #logger: Logger;
  readonly #rejections = new Map<string, Rejection>();
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
  }

  get rotations(): readonly Rotation[] {
    return this.#rotations;
  }

  get verdicts(): readonly Verdict[] {
    return this.#verdicts;
  }

  /** Whether a rejection was seen that is not reported yet because it may pass. */
  get undecided(): boolean {
    return [...this.#rejections.values()].some((rejection) => !rejection.reported);
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
      this.#reject(`source:${failure.file}`, failure, now, insistent);
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
      this.#reject(verdict.id, verdict.error, now, certain, sourceFailures.includes(verdict.error));
    }
    for (const bundle of trust) {
      const key = `trust:${bundle.id}`;
      this.#warn({ id: key, warnings: bundle.warnings });
      if (!bundle.error) continue;
      wrong.add(key);
      this.#reject(key, bundle.error, now, insistent);
    }
    for (const key of this.#rejections.keys()) {
      if (wrong.has(key)) continue;
      if (this.#rejections.get(key)?.told)
        this.#logger.info({ event: 'recovered', certificate: key }, 'no longer rejected');
      this.#rejections.delete(key);
    }
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
    this.#setConditions(generation);
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
        certificateStatus(verdict, generation, trialOf(verdict.id), this.#rejections.get(verdict.id)?.at),
      );
  }

  /** The trust bundles, as /status tells them. */
  trustStatus(): BundleStatus[] {
    return this.#trust.map(bundleStatus);
  }

  #reject(key: string, error: Finding, now: number, insistent: boolean, silent = false): void {
    const text = `${error.code} ${error.message}`;
    let rejection = this.#rejections.get(key);
    if (rejection?.key !== text) {
      rejection = {
        key: text,
        since: now,
        at: new Date().toISOString(),
        reported: false,
        told: rejection?.told === true,
      };
      this.#rejections.set(key, rejection);
    }
    if (rejection.reported || (!insistent && now - rejection.since < grace)) return;
    rejection.reported = true;
    const waits = error.severity === 'warning';
    const result = error.code === 'ROLLED_BACK' ? 'held' : waits ? 'pending' : 'rejected';
    // A source that failed as a whole is told once, and counts for each of its certificates.
    if (silent || error.identity !== undefined) this.#metrics.certificateReloads.inc({ certificate: key, result });
    if (silent) return;
    rejection.told = true;
    const line = { event: result, certificate: error.identity, ...coded(error) };
    if (waits) this.#logger.info(line, result === 'held' ? 'certificate is held back' : 'certificate waits');
    else this.#logger.error(line, error.message);
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

  #setConditions(generation: PublishedGeneration): void {
    // One whose names another certificate serves is shown to nobody.
    const shadowed = (id: string) => generation.findings.filter(({ identity }) => identity === id).length;
    const troubled = this.#inTrouble();
    const expired = troubled
      .filter(
        ({ id, state, served }) => state === 'expired' && (!served || shadowed(id) < Math.max(1, served.names.length)),
      )
      .map(({ id }) => id);
    if (generation.served.size === 0) {
      this.#conditions.set('CertificatesValid', false, 'NothingServed', 'no certificate is served');
    } else if (expired.length > 0) {
      this.#conditions.set('CertificatesValid', false, 'Expired', `expired and still served: ${listed(expired)}`);
    } else {
      this.#conditions.set('CertificatesValid', true, 'Valid', 'every served certificate is valid');
    }
    const expiring = troubled.filter(expiresSoon);
    if (expiring.length === 0) this.#conditions.set('CertificatesFresh', true, 'Fresh', 'no certificate expires soon');
    else {
      const message = `expire soon: ${listed(expiring.map(({ id }) => id))}`;
      this.#conditions.set('CertificatesFresh', false, 'ExpiringSoon', message);
    }
    const wrong = troubled.filter((verdict) => verdict.error !== null).map((verdict) => verdict.id);
    for (const { id, error } of this.#trust) if (error) wrong.push(id);
    const failures = this.#sourceFailures.map((failure) => failure.message);
    if (wrong.length + failures.length === 0) {
      this.#conditions.set('DiskInSync', true, 'InSync', 'what is on disk is served');
    } else {
      const message = [...failures, ...(wrong.length > 0 ? [`not served as on disk: ${listed(wrong)}`] : [])].join(
        '; ',
      );
      this.#conditions.set('DiskInSync', false, 'Rejected', message);
    }
  }
}

function expiresSoon({ warnings }: Verdict): boolean {
  return warnings.some(({ code }) => code === 'CERT_EXPIRES_SOON');
}

function isTroubled(verdict: Verdict): boolean {
  return verdict.error !== null || verdict.state === 'expired' || expiresSoon(verdict);
}

function listed(ids: readonly string[]): string {
  return ids.length <= 5 ? ids.join(', ') : `${ids.slice(0, 5).join(', ')} and ${ids.length - 5} more`;
}
