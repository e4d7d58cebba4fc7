/**
 * Rotation: what is on disk becomes what is served.
 *
 *   marks ─▶ Reconciler: read ─▶ Activation: decide ─▶ prepare ─▶ commit ─▶ confirm        Journal tells what happened
 *                                    │ gate, holds, delays, trials        ◀── take back ──┘
 */
export { type BundleVerdict, decideBundles } from './bundles.ts';
export { decide, plainRules } from './decide.ts';
export type { Range } from './delays.ts';
export { defaultGate, type GatePolicy } from './gate.ts';
export { type Inspection, type InspectionOptions, inspect } from './inspect.ts';
export { Journal, type Rotation, type Trigger } from './journal.ts';
export {
  type Confirmation,
  type GenerationPublisher,
  LocalPublisher,
  type Publication,
  type PublishedGeneration,
  type PublishedIdentity,
} from './publisher.ts';
export { plainActivation, Reconciler, type ReconcilerOptions } from './reconciler.ts';
export type { Report, Wishes } from './request.ts';
export type { ActivationOptions } from './standing.ts';
export {
  type BundleStatus,
  type CertificateStatus,
  type SourceStatus,
  sourceStatus,
} from './status.ts';
export type { TicketKeyOptions, TicketKeyStatus } from './ticket-keys.ts';
export { type CanaryOptions, type Counts, isWorse, type Trial, Trials } from './trials.ts';
export type { Candidate, Decision, Hold, IdentityState, Rules, Verdict } from './types.ts';
