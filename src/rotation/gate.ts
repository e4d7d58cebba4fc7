import {
  coversHost,
  expiryLead,
  type GateAction,
  type ValidatedIdentity,
  type ValidationPolicy,
  validityOf,
} from '../certificates/index.ts';
import { type ErrorCode, type Finding, finding } from '../errors.ts';

/** What is done about each thing that can be wrong with a certificate that could be served. */
export interface GatePolicy extends ValidationPolicy {
  readonly expired: GateAction;
  readonly notYetValid: GateAction;
  /** Less than `minRemaining` is left. */
  readonly lifetimeShort: GateAction;
  /** Milliseconds. */
  readonly minRemaining: number;
  /** Names that are served with it now are not covered any more, by nothing that is on disk. */
  readonly namesLost: GateAction;
  readonly keyWeaker: GateAction;
}

/** Protects without surprising: what breaks clients is rejected, what may be meant is warned of. */
export const defaultGate: GatePolicy = {
  expired: 'reject',
  notYetValid: 'reject',
  lifetimeShort: 'warn',
  minRemaining: 10 * 60 * 1000,
  namesLost: 'reject',
  chainIncomplete: 'warn',
  chainUnanchored: 'reject',
  keyWeaker: 'warn',
  wrongUsage: 'reject',
  weakSignature: 'reject',
};

/** What the gate found: the reason to refuse, if there is one, and what is only to be told. */
export interface Judgement {
  readonly refusal: Finding | null;
  readonly warnings: readonly Finding[];
}

/**
 * Judges a certificate that could be served against the one that is, and against the clock. While the served one has expired, only
 * the dates count: anything valid is better. Pure.
 * @param current what is served under its id
 * @param others everything else that could be served now
 * @param now milliseconds since 1970
 * @param unanchored why its chain does not lead to an authority that it should; null when it does
 */
export function judgeAtGate(
  identity: ValidatedIdentity,
  current: ValidatedIdentity | null,
  others: Iterable<ValidatedIdentity>,
  policy: GatePolicy,
  now: number,
  unanchored: string | null = null,
): Judgement {
  const found: [GateAction, Finding][] = [];
  const add = (action: GateAction, code: ErrorCode, message: string) => {
    if (action === 'ignore') return;
    const severity = action === 'reject' ? 'error' : 'warning';
    found.push([action, finding(code, severity, { identity: identity.id, file: identity.files.certificate, message })]);
  };
  const dates = judgeDates(identity, now);
  if (dates) add(dates.code === 'CERT_EXPIRED' ? policy.expired : policy.notYetValid, dates.code, dates.message);
  const lapsed = current !== null && validityOf(current.leaf, now) === 'expired';
  if (unanchored !== null)
    add(lapsed ? lenient(policy.chainUnanchored) : policy.chainUnanchored, 'CHAIN_UNANCHORED', unanchored);
  const alone = current === null || lapsed;
  const remaining = identity.leaf.notAfter - expiryLead - now;
  if (remaining >= 0 && remaining < policy.minRemaining) {
    const message = `${identity.files.certificate} expires at ${new Date(identity.leaf.notAfter).toISOString()}, in ${Math.ceil(remaining / 60_000)} min`;
    add(alone ? lenient(policy.lifetimeShort) : policy.lifetimeShort, 'LIFETIME_SHORT', message);
  }
  if (current && !alone) {
    const lost = lostNames(identity, current, others, now);
    if (lost.length > 0) add(policy.namesLost, 'NAMES_LOST', lostMessage(identity, lost));
    if (strengthOf(identity) < strengthOf(current)) {
      const change = `${current.leaf.keyType} to ${identity.leaf.keyType}`;
      add(policy.keyWeaker, 'KEY_WEAKER', `${identity.files.certificate} goes from ${change}`);
    }
  }
  return {
    refusal: found.find(([action]) => action === 'reject')?.[1] ?? null,
    warnings: found.flatMap(([action, one]) => (action === 'warn' ? [one] : [])),
  };
}

function lenient(action: GateAction): GateAction {
  return action === 'reject' ? 'warn' : action;
}

/** What is wrong with the dates; null when nothing is (RFC 5280 §4.1.2.5). */
export function judgeDates(identity: ValidatedIdentity, now: number): { code: ErrorCode; message: string } | null {
  const file = identity.files.certificate;
  const { notBefore, notAfter } = identity.leaf;
  switch (validityOf(identity.leaf, now)) {
    case 'pending':
      return { code: 'CERT_NOT_YET_VALID', message: `${file} is valid from ${new Date(notBefore).toISOString()}` };
    case 'expired':
      return { code: 'CERT_EXPIRED', message: `${file} expired at ${new Date(notAfter).toISOString()}` };
    default:
      return null;
  }
}

/** Names of the served certificate that nobody would serve any more. */
export function lostNames(
  identity: ValidatedIdentity,
  current: ValidatedIdentity,
  others: Iterable<ValidatedIdentity>,
  now: number,
): string[] {
  const lost = current.names.filter((name) => !covers(identity, name));
  if (lost.length === 0) return lost;
  const elsewhere = [...others].filter((other) => other.id !== identity.id && validityOf(other.leaf, now) === 'valid');
  return lost.filter((name) => !elsewhere.some((other) => covers(other, name)));
}

/** Whether an identity serves a name, be it a wildcard itself. */
export function covers(identity: ValidatedIdentity, name: string): boolean {
  return identity.names.includes(name) || coversHost(identity.names, name);
}

function lostMessage(identity: ValidatedIdentity, lost: readonly string[]): string {
  const shown = lost.length <= 5 ? lost.join(', ') : `${lost.slice(0, 5).join(', ')} and ${lost.length - 5} more`;
  return `${identity.files.certificate} no longer covers ${shown}`;
}

const curves: Record<string, number> = { 'ec-p256': 128, 'ec-p384': 192, 'ec-p521': 256, ed25519: 128, ed448: 224 };

/** Bits of security of a key (NIST SP 800-57 part 1, table 2); RSA above 3072 counts no more than P-256, which it is exchanged for. */
function strengthOf({ leaf }: ValidatedIdentity): number {
  const modulus = /^rsa(?:-pss)?-(\d+)$/.exec(leaf.keyType)?.[1];
  if (modulus !== undefined) return Number(modulus) >= 3072 ? 128 : 112;
  return curves[leaf.keyType] ?? 128;
}
