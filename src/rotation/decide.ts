import { coversHost, type ValidatedIdentity, type Validity, validityOf } from '../certificates/index.ts';
import { type Finding, finding } from '../errors.ts';

/** What is on disk under one id: an identity that can be served, or the reasons why not. */
export interface Candidate {
  readonly id: string;
  readonly source: string;
  readonly identity: ValidatedIdentity | null;
  readonly findings: readonly Finding[];
}

/** `serving`: what is on disk is served. The others: it is not, and why (see CONTRACT in the README). */
export type IdentityState = 'serving' | 'rejected' | 'pending' | 'expired';

/** What was decided for one id. */
export interface Verdict {
  readonly id: string;
  readonly source: string;
  /** `dropped`: its files are gone, and others serve its names. */
  readonly result: 'applied' | 'unchanged' | 'rejected' | 'pending' | 'dropped';
  readonly state: IdentityState;
  readonly served: ValidatedIdentity | null;
  readonly diskMatchesServed: boolean;
  /** Why what is on disk is not served. */
  readonly error: Finding | null;
  readonly warnings: readonly Finding[];
}

export interface Decision {
  readonly verdicts: readonly Verdict[];
  /** The complete set to serve. */
  readonly target: readonly ValidatedIdentity[];
  /** When to decide again because time alone changes the outcome, milliseconds since 1970. */
  readonly wakeAt: number | null;
}

/**
 * Decides what to serve: what is on disk where it is good, what is served already where it is not. Level-triggered and pure.
 * @param candidates what is on disk, by id
 * @param served what is served now, by id
 * @param now milliseconds since 1970
 */
export function decide(
  candidates: ReadonlyMap<string, Candidate>,
  served: ReadonlyMap<string, ValidatedIdentity>,
  now: number,
): Decision {
  const verdicts: Verdict[] = [];
  for (const candidate of candidates.values()) verdicts.push(judge(candidate, served.get(candidate.id) ?? null, now));
  const replacements = verdicts.flatMap((verdict) => (verdict.served ? [verdict.served] : []));
  for (const [id, identity] of served) {
    if (candidates.has(id)) continue;
    const hidden = directoryOf(identity, candidates);
    verdicts.push(hidden ? judge({ ...hidden, id }, identity, now) : judgeMissing(identity, replacements, now));
  }
  verdicts.sort((a, b) => (a.id < b.id ? -1 : 1));
  const target = verdicts.flatMap((verdict) => (verdict.served ? [verdict.served] : []));
  return { verdicts, target, wakeAt: nextBoundary([...target, ...identitiesOf(candidates)], now) };
}

function judge(candidate: Candidate, current: ValidatedIdentity | null, now: number): Verdict {
  const { id, source, identity, findings } = candidate;
  const warnings = findings.filter((item) => item.severity === 'warning');
  const base = { id, source, warnings };
  const keep = (result: 'rejected' | 'pending', state: IdentityState, error: Finding | null): Verdict => ({
    ...base,
    result,
    state: current && validityOf(current.leaf, now) === 'expired' ? 'expired' : state,
    served: current,
    diskMatchesServed: false,
    error,
  });
  if (!identity) return keep('rejected', 'rejected', findings.find((item) => item.severity === 'error') ?? null);
  const validity = validityOf(identity.leaf, now);
  if (current?.fingerprint === identity.fingerprint) {
    const error = validity === 'expired' ? outOfDate(identity, validity) : null;
    const state = validity === 'expired' ? 'expired' : 'serving';
    const renamed = current.names.join() !== identity.names.join() || current.source !== identity.source;
    const keptOrRenamed = renamed ? identity : current;
    return { ...base, result: 'unchanged', state, served: keptOrRenamed, diskMatchesServed: true, error };
  }
  if (validity === 'valid') {
    return { ...base, result: 'applied', state: 'serving', served: identity, diskMatchesServed: true, error: null };
  }
  const error = outOfDate(identity, validity);
  return validity === 'pending' ? keep('pending', 'pending', error) : keep('rejected', 'rejected', error);
}

/** The directory an identity came from, when it cannot be read: then its files are not gone, they are out of sight. */
function directoryOf(
  { id, source }: ValidatedIdentity,
  candidates: ReadonlyMap<string, Candidate>,
): Candidate | undefined {
  return [...candidates.values()].find(
    (other) => other.source === source && !other.identity && id.startsWith(`${other.id}/`),
  );
}

/** The files of a served identity are gone. It stays, unless others on disk cover all of its names. */
function judgeMissing(current: ValidatedIdentity, others: readonly ValidatedIdentity[], now: number): Verdict {
  const { id, source } = current;
  const covered =
    current.names.length > 0 &&
    current.names.every((name) =>
      others.some(
        (other) =>
          validityOf(other.leaf, now) === 'valid' && (other.names.includes(name) || coversHost(other.names, name)),
      ),
    );
  const error = finding('FILE_MISSING', 'error', {
    identity: id,
    file: current.files.certificate,
    message: `${current.files.certificate} is gone; its certificate is still served`,
  });
  const expired = validityOf(current.leaf, now) === 'expired';
  return {
    id,
    source,
    result: covered ? 'dropped' : 'rejected',
    state: expired ? 'expired' : 'rejected',
    served: covered ? null : current,
    diskMatchesServed: covered,
    error: covered ? null : error,
    warnings: [],
  };
}

function outOfDate(identity: ValidatedIdentity, validity: Validity): Finding {
  const file = identity.files.certificate;
  const { notBefore, notAfter } = identity.leaf;
  if (validity === 'pending') {
    const message = `${file} is valid from ${new Date(notBefore).toISOString()}`;
    return finding('CERT_NOT_YET_VALID', 'warning', { identity: identity.id, file, message });
  }
  const message = `${file} expired at ${new Date(notAfter).toISOString()}`;
  return finding('CERT_EXPIRED', 'error', { identity: identity.id, file, message });
}

function* identitiesOf(candidates: ReadonlyMap<string, Candidate>): Iterable<ValidatedIdentity> {
  for (const { identity } of candidates.values()) if (identity) yield identity;
}

function nextBoundary(identities: Iterable<ValidatedIdentity>, now: number): number | null {
  let next: number | null = null;
  for (const { leaf } of identities) {
    for (const at of [leaf.notBefore, leaf.notAfter + 1]) if (at > now && (next === null || at < next)) next = at;
  }
  return next;
}
