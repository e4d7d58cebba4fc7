import { bundleFindings, type TrustBundle } from '../certificates/index.ts';
import type { Finding } from '../errors.ts';
import type { BundleCandidate } from './source-reader.ts';

/** What was decided for one trust bundle. */
export interface BundleVerdict {
  readonly id: string;
  readonly source: string;
  readonly served: TrustBundle | null;
  readonly diskMatchesServed: boolean;
  /** Why what is on disk is not used. */
  readonly error: Finding | null;
  readonly warnings: readonly Finding[];
}

/**
 * Decides which trust bundles to use: what is on disk where all of it is good, what is used already where it is not. Pure.
 * @param candidates what is on disk
 * @param served what is used now, by name
 * @param now milliseconds since 1970
 */
export function decideBundles(
  candidates: Iterable<BundleCandidate>,
  served: ReadonlyMap<string, TrustBundle>,
  now: number,
): BundleVerdict[] {
  const verdicts = new Map<string, BundleVerdict>();
  for (const { id, source, bundle, findings } of candidates) {
    const used = bundle ?? served.get(id) ?? null;
    const warnings = findings.filter(({ severity }) => severity === 'warning');
    verdicts.set(id, {
      id,
      source,
      served: used,
      diskMatchesServed: bundle !== null,
      error: bundle ? null : (findings.find(({ severity }) => severity === 'error') ?? null),
      warnings: used ? [...warnings, ...bundleFindings(used, now)] : warnings,
    });
  }
  // Of a source that cannot be read nothing is known: what it gave before is still right.
  for (const [id, bundle] of served) {
    if (verdicts.has(id)) continue;
    const warnings = bundleFindings(bundle, now);
    verdicts.set(id, { id, source: bundle.source, served: bundle, diskMatchesServed: false, error: null, warnings });
  }
  return [...verdicts.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
}
