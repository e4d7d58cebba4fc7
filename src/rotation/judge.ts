import { type ValidatedIdentity, validityOf } from '../certificates/index.ts';
import { type Finding, finding } from '../errors.ts';
import { judgeAtGate, judgeDates } from './gate.ts';
import type { Candidate, IdentityState, Rules, Verdict } from './types.ts';

const none: readonly Finding[] = [];

/**
 * Judges what is on disk under one id.
 * @param current what is served under it, or is to be served in place of what is on disk
 * @param others what else is served, or could be
 * @param now milliseconds since 1970
 */
export function judge(
  candidate: Candidate,
  current: ValidatedIdentity | null,
  others: readonly ValidatedIdentity[],
  rules: Rules,
  now: number,
): Verdict {
  const { id, source, identity, findings } = candidate;
  const warnings = findings.length === 0 ? none : findings.filter((item) => item.severity === 'warning');
  const compromised = identity && rules.isCompromised(identity) ? compromise(identity) : null;
  const found = compromised ? [...warnings, compromised] : warnings;
  const expired = current !== null && validityOf(current.leaf, now) === 'expired';
  const keep = (result: Verdict['result'], state: IdentityState, error: Finding | null): Verdict => ({
    id,
    source,
    warnings: found,
    result,
    state: expired ? 'expired' : state,
    served: current,
    diskMatchesServed: false,
    error,
  });
  if (!identity) return keep('rejected', 'rejected', findings.find((item) => item.severity === 'error') ?? null);
  if (current?.fingerprint === identity.fingerprint) {
    const told = rules.toldAtActivation(identity);
    return unchanged(candidate, identity, current, told.length === 0 ? found : [...found, ...told], now);
  }

  const accepted = rules.isAccepted(identity);
  if (compromised && current && !accepted) {
    const refused = keep('rejected', 'rejected', { ...compromised, severity: 'error' });
    return { ...refused, warnings };
  }
  const hold = rules.holdOf(id);
  const held = hold?.fingerprint === identity.fingerprint && !accepted;
  if (held && (hold.unusable || (current && !expired))) return keep('held', 'held', hold.reason);

  const gate = judgeAtGate(identity, current, others, rules.gate, now, rules.unanchored(identity));
  const { refusal } = gate;
  const told = [...found, ...gate.warnings];
  // Nobody can mean to serve what is not valid.
  if (refusal && !(accepted && validityOf(identity.leaf, now) === 'valid')) {
    if (refusal.code !== 'CERT_NOT_YET_VALID') return { ...keep('rejected', 'rejected', refusal), warnings: told };
    const pending = keep('pending', 'pending', { ...refusal, severity: 'warning' });
    return { ...pending, warnings: told, waiting: identity };
  }
  const applied: Verdict = {
    id,
    source,
    warnings: told,
    result: 'applied',
    state: 'serving',
    served: identity,
    diskMatchesServed: true,
    error: null,
  };
  // There is nothing good that one could go on serving meanwhile.
  if (!current || expired || rules.isCompromised(current)) return applied;

  const trial = accepted ? 'off' : rules.trialOf(identity, now);
  // What some clients are given already waits for nothing else.
  const waiting = trial === 'running' || trial === 'passed' || accepted ? null : wait(identity, current, rules, now);
  if (waiting) {
    const [until, error] = waiting;
    const state = error.severity === 'error' ? 'rejected' : 'pending';
    return { ...keep(state, state, error), warnings: told, until };
  }
  if (trial === 'off' || trial === 'passed') return applied;
  const until = rules.trialEnd(identity, now);
  const error = note('CANARY_RUNNING', identity, `${identity.files.certificate} is given to some clients first`);
  const result = trial === 'none' ? 'canary' : 'unchanged';
  return { ...keep(result, 'canary', error), warnings: told, canary: identity, until };
}

/** Until when a certificate that passed the gate waits, milliseconds since 1970, and why; null when it does not. */
function wait(
  identity: ValidatedIdentity,
  current: ValidatedIdentity,
  rules: Rules,
  now: number,
): readonly [number, Finding] | null {
  const file = identity.files.certificate;
  const wholeAt = rules.wholeAt(identity, current, now);
  if (wholeAt > now) {
    const message = `${file} has fewer certificates than before; the rest may be still to come`;
    return [wholeAt, finding('SNAPSHOT_UNSTABLE', 'error', { identity: identity.id, file, message })];
  }
  const activatesAt = rules.activatesAt(identity, now);
  if (activatesAt <= now) return null;
  return [
    activatesAt,
    note('ACTIVATION_DELAYED', identity, `${file} is activated at ${new Date(activatesAt).toISOString()}`),
  ];
}

/** What is on disk is what is served. */
function unchanged(
  { id, source }: Candidate,
  identity: ValidatedIdentity,
  current: ValidatedIdentity,
  warnings: readonly Finding[],
  now: number,
): Verdict {
  const dates = judgeDates(current, now);
  const expired = dates?.code === 'CERT_EXPIRED';
  const file = identity.files.certificate;
  const error = expired ? finding('CERT_EXPIRED', 'error', { identity: id, file, message: dates.message }) : null;
  const isSame =
    current === identity || (current.names.join() === identity.names.join() && current.source === identity.source);
  const served = isSame ? current : identity;
  const state = expired ? 'expired' : 'serving';
  return { id, source, warnings, result: 'unchanged', state, served, diskMatchesServed: true, error };
}

/** What is on disk is served, the very same, and there is nothing to say about it. */
export function serving({ id, source }: Candidate, served: ValidatedIdentity): Verdict {
  return {
    id,
    source,
    warnings: none,
    result: 'unchanged',
    state: 'serving',
    served,
    diskMatchesServed: true,
    error: null,
  };
}

function compromise(identity: ValidatedIdentity): Finding {
  const { certificate } = identity.files;
  const message = `${certificate} has a key that was reported as compromised`;
  return finding('CERT_COMPROMISED', 'warning', { identity: identity.id, file: certificate, message });
}

function note(code: 'ACTIVATION_DELAYED' | 'CANARY_RUNNING', identity: ValidatedIdentity, message: string): Finding {
  return finding(code, 'warning', { identity: identity.id, file: identity.files.certificate, message });
}
