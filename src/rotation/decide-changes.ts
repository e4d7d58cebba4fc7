import type { ValidatedIdentity } from '../certificates/index.ts';
import { LayeredMap } from '../files/index.ts';
import { judgeEvident, withExpiry } from './decide.ts';
import { nextTurn } from './expiry.ts';
import { covers } from './gate.ts';
import { judge } from './judge.ts';
import type { Candidate, Decision, Rules, ServedNow, Verdict } from './types.ts';

/** Verdicts that are made one by one, at most. */
const limit = 64;

/** A decision that was carried out to the letter: what it wanted to be served, and nothing else, is served. */
export class CarriedOut {
  readonly candidates: ReadonlyMap<string, Candidate>;
  readonly decision: Decision;
  /** Milliseconds since 1970. */
  readonly decidedAt: number;
  #unsettled: readonly string[] | null | undefined;

  /**
   * @param candidates what it was made of
   * @param decidedAt milliseconds since 1970
   */
  constructor(candidates: ReadonlyMap<string, Candidate>, decision: Decision, decidedAt: number) {
    this.candidates = candidates;
    this.decision = decision;
    this.decidedAt = decidedAt;
  }

  /** What would be judged otherwise now that it was carried out; null when no verdict can be relied on. */
  get unsettled(): readonly string[] | null {
    const { decision, candidates } = this;
    const { verdicts, target, canaries, touched } = decision;
    if (this.#unsettled !== undefined) return this.#unsettled;
    const isPlain = verdicts.length === target.length && verdicts.length === candidates.size && canaries.length === 0;
    // Where only some were touched, all others were found to be plain before.
    const doubtful = touched ?? verdicts;
    this.#unsettled = isPlain && doubtful.every(isWhole) ? idsOf(doubtful) : null;
    return this.#unsettled;
  }
}

/**
 * As `decide`, with work only for what changed since a decision that was carried out. Pure.
 * @param served what that decision wanted to be served, by id
 * @param now milliseconds since 1970
 * @returns what `decide` would; null where more than a plain exchange of some certificates for others is to be decided
 */
export function decideChanges(
  before: CarriedOut,
  candidates: ReadonlyMap<string, Candidate>,
  served: ServedNow,
  now: number,
  rules: Rules,
): Decision | null {
  const { decision, decidedAt } = before;
  const changed = LayeredMap.differences(before.candidates, candidates);
  if (!changed || !rules.uneventful || candidates.size !== before.candidates.size) return null;
  if (now < decidedAt || (decision.wakeAt !== null && decision.wakeAt <= now)) return null;
  const { unsettled } = before;
  const ids = new Set([...changed, ...(unsettled ?? [])]);
  if (!unsettled || ids.size > limit) return null;
  const verdicts = decision.verdicts.slice();
  const target = decision.target.slice();
  const touched: Verdict[] = [];
  const distances = rules.expiryWarnings;
  let wakeAt = decision.wakeAt ?? Number.POSITIVE_INFINITY;
  let isSoonestGone = false;
  for (const id of ids) {
    const at = placeOf(id, verdicts);
    const old = target[at];
    const verdict = judgeChange(candidates.get(id), served, rules, now);
    if (!old || !verdict?.served) return null;
    verdicts[at] = withExpiry(verdict, distances, now);
    target[at] = verdict.served;
    touched.push(verdicts[at]);
    isSoonestGone ||= old !== verdict.served && nextTurn(old, distances, now) <= wakeAt;
    wakeAt = Math.min(wakeAt, nextTurn(verdict.served, distances, now));
  }
  if (isSoonestGone) wakeAt = soonest(target, distances, now);
  return { verdicts, target, canaries: [], touched, wakeAt: wakeAt === Number.POSITIVE_INFINITY ? null : wakeAt };
}

function soonest(target: readonly ValidatedIdentity[], distances: readonly number[], now: number): number {
  let turn = Number.POSITIVE_INFINITY;
  for (const identity of target) turn = Math.min(turn, nextTurn(identity, distances, now));
  return turn;
}

/** @returns null when it is not a plain one */
function judgeChange(candidate: Candidate | undefined, served: ServedNow, rules: Rules, now: number): Verdict | null {
  const current = served.get(candidate?.id ?? '');
  if (!candidate?.identity || !current) return null;
  const evident = judgeEvident(candidate, served, rules, now);
  if (evident) return evident;
  const { identity } = candidate;
  // Where a name goes, others count; where none does, nobody asks for them.
  if (!current.names.every((name) => covers(identity, name))) return null;
  const verdict = judge(candidate, current, [], rules, now);
  return isWhole(verdict) ? verdict : null;
}

/** Whether a verdict is that a certificate is served as it is on disk, to all and for now. */
function isWhole({ result, error, served, canary, until }: Verdict): boolean {
  const isServed = (result === 'applied' || result === 'unchanged') && served !== null;
  return isServed && error === null && canary === undefined && until === undefined;
}

function idsOf(verdicts: readonly Verdict[]): string[] {
  return verdicts.filter(({ result }) => result === 'applied').map(({ id }) => id);
}

/** Where the verdict on an id is among those that are in the order of ids; -1 when there is none. */
function placeOf(id: string, verdicts: readonly Verdict[]): number {
  let [low, high] = [0, verdicts.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((verdicts[middle]?.id ?? '') < id) low = middle + 1;
    else high = middle;
  }
  return verdicts[low]?.id === id ? low : -1;
}
