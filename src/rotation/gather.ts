import type { Finding } from '../errors.ts';
import type { BundleCandidate, SourceReader } from './source-reader.ts';
import type { TicketKeyReading } from './ticket-keys.ts';
import type { Candidate } from './types.ts';

/**
 * Candidates of all sources. Who had an id first keeps it, whatever comes and goes on disk; that of another source is told apart by
 * the path of its source.
 * @param owners who had which id first; brought up to date
 */
export function gather(
  readers: readonly SourceReader[],
  owners: Map<string, SourceReader>,
): {
  candidates: ReadonlyMap<string, Candidate>;
  bundles: BundleCandidate[];
  ticketKeys: TicketKeyReading | null;
  failures: Finding[];
} {
  const giving = readers.filter(({ state }) => state.candidates.size > 0);
  const [only] = giving;
  // Of the one source that gives certificates all is as it is there: nothing is told apart, nor copied.
  const isPlain = readers.length === 1 && giving.length === 1 && only?.state.failure === null;
  const candidates = new Map<string, Candidate>();
  const bundles: BundleCandidate[] = [];
  const failures: Finding[] = [];
  let ticketKeys: TicketKeyReading | null = null;
  for (const reader of readers) {
    const { state, source } = reader;
    if (source.givesTicketKeys) ticketKeys = { material: state.ticketKeys, failure: state.failure };
    if (state.failure) failures.push(state.failure);
    else bundles.push(...state.bundles.values());
    if (isPlain) continue;
    for (const candidate of state.candidates.values()) {
      const owner = owners.get(candidate.id) ?? reader;
      owners.set(candidate.id, owner);
      const known = owner === reader ? candidate : withId(candidate, `${state.source}/${candidate.id}`);
      candidates.set(known.id, state.failure ? { ...known, identity: null, findings: [state.failure] } : known);
    }
  }
  return { candidates: isPlain && only ? only.state.candidates : candidates, bundles, ticketKeys, failures };
}

function withId(candidate: Candidate, id: string): Candidate {
  return {
    ...candidate,
    id,
    identity: candidate.identity && { ...candidate.identity, id },
    findings: candidate.findings.map((one) => ({ ...one, identity: id })),
  };
}
