import type { CertificateSource, ValidatedIdentity } from '../certificates/index.ts';
import type { Finding } from '../errors.ts';
import { ContextStore, type ContextStoreOptions, createTicketKeys } from '../tls/index.ts';
import { whyUnanchored } from './anchoring.ts';
import { type BundleVerdict, decideBundles } from './bundles.ts';
import { decide, plainRules } from './decide.ts';
import { defaultGate, type GatePolicy } from './gate.ts';
import { gather } from './gather.ts';
import { SourceReader } from './source-reader.ts';
import type { Candidate, Decision, Verdict } from './types.ts';

export interface InspectionOptions {
  readonly gate?: GatePolicy;
  /** The name of the trust bundle that every chain has to end in. */
  readonly anchors?: string | undefined;
  readonly expiryWarnings?: readonly number[];
  /** How contexts are built and handshakes rehearsed. */
  readonly store?: ContextStoreOptions;
  /** What is served now, by id: what is on disk is judged against it. */
  readonly served?: ReadonlyMap<string, ValidatedIdentity>;
  /** Milliseconds after which reading one source counts as failed. */
  readonly loadTimeout?: number;
}

export interface Inspection {
  readonly verdicts: readonly Verdict[];
  /** What could be read from disk, by id. */
  readonly identities: ReadonlyMap<string, ValidatedIdentity>;
  readonly bundles: readonly BundleVerdict[];
  /** What is wrong with whole sources. */
  readonly failures: readonly Finding[];
  /** What is worth knowing about the set as a whole. */
  readonly findings: readonly Finding[];
}

/** What is on disk, judged without serving anything, handshakes included: what `check` shows. */
export async function inspect(
  sources: readonly CertificateSource[],
  options: InspectionOptions = {},
): Promise<Inspection> {
  const { gate = defaultGate, loadTimeout = 10_000 } = options;
  const readers = sources.map((source) => new SourceReader(source, loadTimeout, () => {}, gate));
  // A source that hangs keeps nothing alive, and here nothing else does.
  const awake = setInterval(() => {}, loadTimeout);
  try {
    await Promise.all(readers.map((reader) => reader.read(true)));
  } finally {
    clearInterval(awake);
    for (const source of sources) source.close?.();
  }
  const { candidates, bundles, failures } = gather(readers, new Map());
  const now = Date.now();
  const trust = decideBundles(bundles, new Map(), now);
  const { verdicts, findings } = await rehearsed(candidates, trust, options, now);
  const identities = new Map<string, ValidatedIdentity>();
  for (const { id, identity } of candidates.values()) if (identity) identities.set(id, identity);
  return { verdicts, identities, bundles: trust, failures, findings };
}

/** Decides, and decides again without what the TLS layer refuses. */
async function rehearsed(
  candidates: ReadonlyMap<string, Candidate>,
  trust: readonly BundleVerdict[],
  options: InspectionOptions,
  now: number,
): Promise<Pick<Decision, 'verdicts'> & { readonly findings: readonly Finding[] }> {
  const { gate = defaultGate, anchors, served = new Map(), expiryWarnings = [] } = options;
  const bundles = trust.flatMap((verdict) => verdict.served ?? []);
  const decision = decide(candidates, served, now, {
    ...plainRules,
    gate,
    expiryWarnings,
    unanchored: (identity) =>
      anchors === undefined
        ? null
        : whyUnanchored(
            identity,
            anchors,
            bundles.find(({ id }) => id === anchors),
          ),
  });
  // What is served elsewhere is known by its names and dates only; there is nothing to build of it.
  const onDisk = new Set([...candidates.values()].map(({ identity }) => identity));
  const identities = decision.target.filter((identity) => onDisk.has(identity));
  const store = new ContextStore(options.store ?? { unknownName: 'default' });
  const prepared = await store.prepare({ identities, canaries: [], bundles, ticketKeys: createTicketKeys() }, now);
  prepared.abort();
  const refused = new Map(prepared.failures.map((failure) => [failure.identity, failure]));
  if (refused.size === 0) return { verdicts: decision.verdicts, findings: prepared.generation.findings };
  const usable = [...candidates].map(([id, candidate]) => {
    const failure = refused.get(id);
    return [id, failure ? { ...candidate, identity: null, findings: [...candidate.findings, failure] } : candidate];
  }) as [string, Candidate][];
  return rehearsed(new Map(usable), trust, options, now);
}
