import { type ValidatedIdentity, validityOf } from '../certificates/index.ts';
import { type Finding, finding } from '../errors.ts';
import type { Candidate, IdentityState, Rules, Verdict } from './decide.ts';
import { judgeAtGate, judgeDates } from './gate.ts';

/**
 * Judges what is on disk under one id.
 * @param current what is served under it, or is to be served in place of what is on disk
 * @param onDisk everything on disk that could be served
 * @param now milliseconds since 1970
 */
export function judge(
  candidate: Candidate,
  current: ValidatedIdentity | null,
  onDisk: readonly ValidatedIdentity[],
  rules: Rules,
  now: number,
): Verdict {
  const { id, source, identity, findings } = candidate;
  const found = findings.filter((item) => item.severity === 'warning');
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
  const compromised = rules.isCompromised(identity) ? compromise(identity) : null;
  if (current?.fingerprint === identity.fingerprint) {
    const told = compromised ? [...found, compromised] : found;
    return unchanged(candidate, identity, current, told, now);
  }

  const accepted = rules.isAccepted(identity);
  if (compromised && current && !accepted) return keep('rejected', 'rejected', { ...compromised, severity: 'error' });
  const hold = rules.holdOf(id);
  const held = hold?.fingerprint === identity.fingerprint && !accepted;
  if (held && (hold.unusable || (current && !expired))) return keep('held', 'held', hold.reason);

  const { refusal, warnings } = judgeAtGate(identity, current, onDisk, rules.gate, now, rules.unanchored(identity));
  const told = [...found, ...warnings];
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
  if (!current || expired) return applied;

  const activatesAt = accepted ? now : rules.activatesAt(identity, now);
  if (activatesAt > now) {
    const message = `${identity.files.certificate} is activated at ${new Date(activatesAt).toISOString()}`;
    const error = note('ACTIVATION_DELAYED', identity, message);
    return { ...keep('pending', 'pending', error), warnings: told, until: activatesAt };
  }
  const trial = accepted ? 'passed' : rules.trialOf(identity, now);
  if (trial === 'passed') return applied;
  const until = rules.trialEnd(identity, now);
  const error = note('CANARY_RUNNING', identity, `${identity.files.certificate} is given to some clients first`);
  const result = trial === 'none' ? 'canary' : 'unchanged';
  return { ...keep(result, 'canary', error), warnings: told, canary: identity, until };
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
  const renamed = current.names.join() !== identity.names.join() || current.source !== identity.source;
  const served = renamed ? identity : current;
  const state = expired ? 'expired' : 'serving';
  return { id, source, warnings, result: 'unchanged', state, served, diskMatchesServed: true, error };
}

function compromise(identity: ValidatedIdentity): Finding {
  const { certificate } = identity.files;
  const message = `${certificate} has a key that was reported as compromised`;
  return finding('CERT_COMPROMISED', 'warning', { identity: identity.id, file: certificate, message });
}

function note(code: 'ACTIVATION_DELAYED' | 'CANARY_RUNNING', identity: ValidatedIdentity, message: string): Finding {
  return finding(code, 'warning', { identity: identity.id, file: identity.files.certificate, message });
}
