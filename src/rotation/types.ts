import type { ValidatedIdentity } from '../certificates/index.ts';
import type { Finding } from '../errors.ts';
import type { GatePolicy } from './gate.ts';
import type { TrialState } from './trials.ts';

/** Keeps one certificate from being activated until its files change. */
export interface Hold {
  /** The chain that is not to be served. */
  readonly fingerprint: string;
  /** What is served in its place; null: whatever is served already. */
  readonly instead: ValidatedIdentity | null;
  readonly reason: Finding;
  /** The TLS layer cannot serve it at all: it does not help either when the served one expires. */
  readonly unusable: boolean;
}

/** What is served now, by id. */
export type ServedNow = Pick<ReadonlyMap<string, ValidatedIdentity>, 'get' | 'keys' | 'size'>;

/** What is on disk under one id: an identity that can be served, or the reasons why not. */
export interface Candidate {
  readonly id: string;
  readonly source: string;
  readonly identity: ValidatedIdentity | null;
  readonly findings: readonly Finding[];
  /** When its source was asked for what turned out to be this one, monotonic milliseconds. */
  readonly askedAt?: number;
}

/** `serving`: what is on disk is served. The others: it is not, or not to all, and why (see CONTRACT in the README). */
export type IdentityState = 'serving' | 'rejected' | 'pending' | 'expired' | 'held' | 'canary';

/** What was decided for one id. */
export interface Verdict {
  readonly id: string;
  readonly source: string;
  /** `dropped`: its files are gone, and others serve its names. */
  readonly result: 'applied' | 'unchanged' | 'rejected' | 'pending' | 'dropped' | 'held' | 'canary';
  readonly state: IdentityState;
  readonly served: ValidatedIdentity | null;
  /** What is on disk and not valid yet. */
  readonly waiting?: ValidatedIdentity;
  /** What some clients are given first. */
  readonly canary?: ValidatedIdentity;
  readonly diskMatchesServed: boolean;
  /** Why what is on disk is not served. */
  readonly error: Finding | null;
  readonly warnings: readonly Finding[];
  /** When time alone may change the verdict, beside the dates of certificates; milliseconds since 1970. */
  readonly until?: number;
}

/** What is decided by, beside what is on disk and what is served. */
export interface Rules {
  readonly gate: GatePolicy;
  readonly holdOf: (id: string) => Hold | undefined;
  /** When a new certificate may be activated, milliseconds since 1970. */
  readonly activatesAt: (identity: ValidatedIdentity, now: number) => number;
  /** When a chain that may still lack its end counts as whole, milliseconds since 1970. */
  readonly wholeAt: (identity: ValidatedIdentity, current: ValidatedIdentity, now: number) => number;
  /** How far the trial of a new certificate is, and when it ends. */
  readonly trialOf: (identity: ValidatedIdentity, now: number) => TrialState;
  readonly trialEnd: (identity: ValidatedIdentity, now: number) => number;
  /** Whether an operator said that it is to be served whatever the gate finds. */
  readonly isAccepted: (identity: ValidatedIdentity) => boolean;
  /** Why its chain does not lead to an authority that it should; null when it does. */
  readonly unanchored: (identity: ValidatedIdentity) => string | null;
  /** Whether its key was reported as compromised. */
  readonly isCompromised: (identity: ValidatedIdentity) => boolean;
  /** What the gate had to say when it was activated. */
  readonly toldAtActivation: (identity: ValidatedIdentity) => readonly Finding[];
  /** Milliseconds before the expiry of a served certificate at which it is warned of. */
  readonly expiryWarnings: readonly number[];
  /** Nothing is held, accepted, compromised or told: then what is served as it is on disk needs no more than its dates. */
  readonly uneventful: boolean;
}

export interface Decision {
  readonly verdicts: readonly Verdict[];
  /** The complete set to serve. */
  readonly target: readonly ValidatedIdentity[];
  /** What some clients are given in place of what the target has for the same id. */
  readonly canaries: readonly ValidatedIdentity[];
  /**
   * The verdicts that differ from those of the decision before, where that was carried out to the letter: all others are the very same, and
   * have no error. Absent when that is not known.
   */
  readonly touched?: readonly Verdict[];
  /** When to decide again because time alone changes the outcome, milliseconds since 1970. */
  readonly wakeAt: number | null;
}
