import { type ValidatedIdentity, validityOf } from '../certificates/index.ts';
import { finding } from '../errors.ts';
import { expiryWarning, nextDate, nextTurn } from './expiry.ts';
import { covers, defaultGate } from './gate.ts';
import { judge, serving } from './judge.ts';
import type { Candidate, Decision, Rules, ServedNow, Verdict } from './types.ts';

/** Activate at once what passes the gate. */
export const plainRules: Rules = {
  gate: defaultGate,
  holdOf: () => undefined,
  activatesAt: (_, now) => now,
  wholeAt: (_identity, _current, now) => now,
  trialOf: () => 'off',
  trialEnd: (_, now) => now,
  isAccepted: () => false,
  isCompromised: () => false,
  unanchored: () => null,
  expiryWarnings: [],
  toldAtActivation: () => [],
  uneventful: false,
};

/**
 * Decides what to serve: what is on disk where it is good, what is served already where it is not. Level-triggered and pure.
 * @param candidates what is on disk, by id
 * @param served what is served now, by id
 * @param now milliseconds since 1970
 */
export function decide(
  candidates: ReadonlyMap<string, Candidate>,
  served: ServedNow,
  now: number,
  rules: Rules = plainRules,
): Decision {
  const onDisk = identitiesOf(candidates);
  const currentOf = (id: string) => rules.holdOf(id)?.instead ?? served.get(id) ?? null;
  const judged = judgeTogether(candidates, served, currentOf, onDisk, rules, now);
  const absent = judgeAbsent(candidates, served, judged, { currentOf, onDisk, rules, now });
  for (const verdict of absent) judged.push(verdict);
  sortById(judged);
  // With thousands of certificates and an event for one, each pass over all of them would be felt: so this is the only one.
  const verdicts: Verdict[] = [];
  const target: ValidatedIdentity[] = [];
  const canaries: ValidatedIdentity[] = [];
  let wakeAt = Number.POSITIVE_INFINITY;
  const turn = (at: number) => {
    if (at > now && at < wakeAt) wakeAt = at;
  };
  for (const verdict of judged) {
    verdicts.push(withExpiry(verdict, rules.expiryWarnings, now));
    if (verdict.canary) canaries.push(verdict.canary);
    if (verdict.until !== undefined) turn(verdict.until);
    if (!verdict.served) continue;
    target.push(verdict.served);
    turn(nextTurn(verdict.served, rules.expiryWarnings, now));
  }
  for (const { leaf } of onDisk) turn(nextDate(leaf, now));
  return { verdicts, target, canaries, wakeAt: wakeAt === Number.POSITIVE_INFINITY ? null : wakeAt };
}

/**
 * Judges everything on disk. A name may move to another certificate, which is to be served then: where that one is refused after all,
 * the name would be lost, and it is judged again.
 */
function judgeTogether(
  candidates: ReadonlyMap<string, Candidate>,
  served: ServedNow,
  currentOf: (id: string) => ValidatedIdentity | null,
  onDisk: readonly ValidatedIdentity[],
  rules: Rules,
  now: number,
): Verdict[] {
  const verdicts: Verdict[] = [];
  const applied: number[] = [];
  for (const candidate of candidates.values()) {
    const evident = judgeEvident(candidate, served, rules, now);
    if (evident) {
      verdicts.push(evident);
      continue;
    }
    const verdict = judge(candidate, currentOf(candidate.id), onDisk, rules, now);
    if (verdict.result === 'applied') applied.push(verdicts.length);
    verdicts.push(verdict);
  }
  for (let changed = applied.length > 0; changed; ) {
    const replacing = verdicts.flatMap((verdict) => verdict.served ?? []);
    changed = false;
    const again = applied.map((i) => {
      const candidate = candidates.get(verdicts[i]?.id ?? '');
      return candidate && verdicts[i]?.result === 'applied'
        ? judge(candidate, currentOf(candidate.id), replacing, rules, now)
        : verdicts[i];
    });
    for (const [n, i] of applied.entries()) {
      const verdict = again[n];
      if (!verdict) continue;
      changed ||= verdict.result !== verdicts[i]?.result;
      verdicts[i] = verdict;
    }
  }
  return verdicts;
}

/** The verdict on what is served as it is on disk, where there is nothing else to be said; null otherwise. */
export function judgeEvident(candidate: Candidate, served: ServedNow, rules: Rules, now: number): Verdict | null {
  const { id, identity, findings } = candidate;
  const isAsOnDisk = identity !== null && rules.uneventful && findings.length === 0;
  const isServed = isAsOnDisk && served.get(id) === identity && validityOf(identity.leaf, now) !== 'expired';
  return isServed ? serving(candidate, identity) : null;
}

interface Circumstances {
  readonly currentOf: (id: string) => ValidatedIdentity | null;
  readonly onDisk: readonly ValidatedIdentity[];
  readonly rules: Rules;
  readonly now: number;
}

/** Judges what is served, and whose files are not there. @param judged what is there */
function judgeAbsent(
  candidates: ReadonlyMap<string, Candidate>,
  served: ServedNow,
  judged: readonly Verdict[],
  { currentOf, onDisk, rules, now }: Circumstances,
): Verdict[] {
  const verdicts: Verdict[] = [];
  let replacements: readonly ValidatedIdentity[] | null = null;
  for (const id of served.keys()) {
    if (candidates.has(id)) continue;
    const identity = currentOf(id);
    if (!identity) continue;
    const hidden = directoryOf(identity, candidates);
    replacements ??= judged.flatMap((verdict) => verdict.served ?? []);
    verdicts.push(
      hidden ? judge({ ...hidden, id }, identity, onDisk, rules, now) : judgeMissing(identity, replacements, now),
    );
  }
  return verdicts;
}

function sortById(verdicts: Verdict[]): void {
  const isSorted = verdicts.every(({ id }, i) => i === 0 || (verdicts[i - 1]?.id ?? '') < id);
  if (!isSorted) verdicts.sort((a, b) => (a.id < b.id ? -1 : 1));
}

/** A verdict with the warning of the expiry of what is served, if one is due. @param distances milliseconds before it */
export function withExpiry(verdict: Verdict, distances: readonly number[], now: number): Verdict {
  const warning = verdict.served && expiryWarning(verdict.served, distances, now);
  return warning ? { ...verdict, warnings: [...verdict.warnings, warning] } : verdict;
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
  const valid = others.filter((other) => validityOf(other.leaf, now) === 'valid');
  const covered = current.names.length > 0 && current.names.every((name) => valid.some((other) => covers(other, name)));
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

function identitiesOf(candidates: ReadonlyMap<string, Candidate>): ValidatedIdentity[] {
  const identities: ValidatedIdentity[] = [];
  for (const { identity } of candidates.values()) if (identity) identities.push(identity);
  return identities;
}
