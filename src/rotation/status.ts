import { coded, type Finding } from '../errors.ts';
import type { BundleVerdict } from './bundles.ts';
import type { PublishedGeneration } from './publisher.ts';
import type { SourceState } from './source-reader.ts';
import type { Trial } from './trials.ts';
import type { Verdict } from './types.ts';

type ShownFinding = { code: string; message: string; file?: string; remedy: string };

/** One certificate as /status tells it. */
export interface CertificateStatus {
  readonly id: string;
  readonly source: string;
  readonly names: readonly string[];
  readonly fingerprint256: string | null;
  /** Of the whole chain; what decides whether something changed. */
  readonly chainFingerprint256: string | null;
  readonly serialNumber: string | null;
  readonly issuer: string | null;
  readonly keyType: string | null;
  readonly notBefore: string | null;
  readonly notAfter: string | null;
  readonly state: Verdict['state'];
  readonly generation: number | null;
  readonly activatedAt: string | null;
  readonly diskMatchesServed: boolean;
  readonly lastError: (ShownFinding & { at: string }) | null;
  readonly warnings: readonly ShownFinding[];
  /** What some clients are given first; absent when nothing is on trial. */
  readonly canary?: {
    readonly fingerprint256: string;
    readonly promoteAt: string;
    readonly handshakes: number;
    readonly refused: number;
  };
}

/** One trust bundle as /status tells it. */
export interface BundleStatus {
  readonly id: string;
  readonly source: string;
  readonly fingerprint256: string | null;
  readonly authorities: number;
  readonly crls: number;
  readonly notAfter: string | null;
  readonly nextUpdate: string | null;
  readonly diskMatchesServed: boolean;
  readonly lastError: ShownFinding | null;
  readonly warnings: readonly ShownFinding[];
}

/** One source as /status tells it. */
export interface SourceStatus {
  readonly id: string;
  readonly state: 'ok' | 'failed';
  readonly certificates: number;
  readonly answeredAt: string | null;
  readonly askAgainAt: string | null;
  readonly lastError: ShownFinding | null;
  readonly warnings: readonly ShownFinding[];
}

/** @param since when the error of a certificate was seen first, RFC 3339 */
export function certificateStatus(
  verdict: Verdict,
  generation: PublishedGeneration,
  trial: Trial | undefined,
  since: string | undefined,
): CertificateStatus {
  const served = generation.served.get(verdict.id);
  const leaf = served?.identity.leaf;
  const at = since ?? new Date().toISOString();
  const shadowed = generation.findings.filter((one) => one.identity === verdict.id);
  return {
    id: verdict.id,
    source: verdict.source,
    names: served?.identity.names ?? [],
    fingerprint256: leaf?.fingerprint256 ?? null,
    chainFingerprint256: served?.identity.fingerprint ?? null,
    serialNumber: leaf?.serialNumber ?? null,
    issuer: leaf?.issuer ?? null,
    keyType: leaf?.keyType ?? null,
    notBefore: leaf ? instant(leaf.notBefore) : null,
    notAfter: leaf ? instant(leaf.notAfter) : null,
    state: verdict.state,
    generation: served?.since ?? null,
    activatedAt: served?.activatedAt.toISOString() ?? null,
    diskMatchesServed: verdict.diskMatchesServed,
    lastError: verdict.error ? { ...coded(verdict.error), at } : null,
    warnings: [...verdict.warnings, ...shadowed].map(coded),
    ...(trial
      ? {
          canary: {
            fingerprint256: trial.identity.leaf.fingerprint256,
            promoteAt: instant(trial.promoteAt),
            ...trial.canary,
          },
        }
      : {}),
  };
}

export function bundleStatus({ id, source, served, diskMatchesServed, error, warnings }: BundleVerdict): BundleStatus {
  return {
    id,
    source,
    fingerprint256: served?.fingerprint ?? null,
    authorities: served?.authorityCount ?? 0,
    crls: served?.crlCount ?? 0,
    notAfter: served ? instant(served.notAfter) : null,
    nextUpdate: served?.nextUpdate ? instant(served.nextUpdate) : null,
    diskMatchesServed,
    lastError: shown(error),
    warnings: warnings.map(coded),
  };
}

export function sourceStatus({
  source,
  failure,
  candidates,
  answeredAt,
  askAgainAt,
  warnings,
}: SourceState): SourceStatus {
  return {
    id: source,
    state: failure ? 'failed' : 'ok',
    certificates: candidates.size,
    answeredAt,
    askAgainAt: askAgainAt === null ? null : instant(askAgainAt),
    lastError: shown(failure),
    warnings: warnings.map(coded),
  };
}

function shown(finding: Finding | null): ShownFinding | null {
  return finding ? coded(finding) : null;
}

function instant(ms: number): string {
  return new Date(ms).toISOString();
}
