import { expiryLead, type ValidatedIdentity, validityOf } from '../certificates/index.ts';
import { finding } from '../errors.ts';
import { expiryWarning, nextWarning } from './expiry.ts';
import { covers, defaultGate } from './gate.ts';
import { judge } from './judge.ts';
import type { Candidate, Decision, Rules, Verdict } from './types.ts';

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
};

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
  rules: Rules = plainRules,
): Decision {
  const onDisk = [...identitiesOf(candidates)];
  const currentOf = (id: string) => rules.holdOf(id)?.instead ?? served.get(id) ?? null;
  const verdicts = judgeTogether(candidates, currentOf, onDisk, rules, now);
  const replacements = verdicts.flatMap((verdict) => (verdict.served ? [verdict.served] : []));
  for (const id of served.keys()) {
    const identity = currentOf(id);
    if (!identity || candidates.has(id)) continue;
    const hidden = directoryOf(identity, candidates);
    const verdict = hidden
      ? judge({ ...hidden, id }, identity, onDisk, rules, now)
      : judgeMissing(identity, replacements, now);
    verdicts.push(verdict);
  }
  verdicts.sort((a, b) => (a.id < b.id ? -1 : 1));
  const told = verdicts.map((verdict) => withExpiry(verdict, rules.expiryWarnings, now));
  const target = verdicts.flatMap((verdict) => (verdict.served ? [verdict.served] : []));
  const canaries = verdicts.flatMap((verdict) => (verdict.canary ? [verdict.canary] : []));
  const turns = [
    ...verdicts.flatMap(({ until }) => (until === undefined ? [] : [until])),
    ...target.map((identity) => nextWarning(identity, rules.expiryWarnings, now)),
  ];
  return { verdicts: told, target, canaries, wakeAt: nextTurn([...target, ...onDisk], turns, now) };
}

/**
 * Judges everything on disk. A name may move to another certificate, which is to be served then: where that one is refused after all,
 * the name would be lost, and it is judged again.
 */
function judgeTogether(
  candidates: ReadonlyMap<string, Candidate>,
  currentOf: (id: string) => ValidatedIdentity | null,
  onDisk: readonly ValidatedIdentity[],
  rules: Rules,
  now: number,
): Verdict[] {
  const judgeOne = (candidate: Candidate, others: readonly ValidatedIdentity[]) =>
    judge(candidate, currentOf(candidate.id), others, rules, now);
  let verdicts = [...candidates.values()].map((candidate) => judgeOne(candidate, onDisk));
  for (;;) {
    const before = verdicts;
    const serving = before.flatMap(({ served }) => served ?? []);
    verdicts = before.map((verdict) => {
      const candidate = candidates.get(verdict.id);
      return candidate && verdict.result === 'applied' ? judgeOne(candidate, serving) : verdict;
    });
    if (verdicts.every(({ result }, i) => result === before[i]?.result)) return verdicts;
  }
}

function withExpiry(verdict: Verdict, distances: readonly number[], now: number): Verdict {
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

function* identitiesOf(candidates: ReadonlyMap<string, Candidate>): Iterable<ValidatedIdentity> {
  for (const { identity } of candidates.values()) if (identity) yield identity;
}

function nextTurn(identities: Iterable<ValidatedIdentity>, turns: readonly number[], now: number): number | null {
  let next = Number.POSITIVE_INFINITY;
  for (const { leaf } of identities) {
    for (const at of [leaf.notBefore, leaf.notAfter - expiryLead + 1]) if (at > now && at < next) next = at;
  }
  for (const at of turns) if (at > now && at < next) next = at;
  return next === Number.POSITIVE_INFINITY ? null : next;
}
