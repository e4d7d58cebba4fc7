/**
 * Rotation: what is on disk becomes what is served.
 *
 *   marks ─▶ Reconciler: read ─▶ decide ─▶ prepare ─▶ commit ─▶ retire        Journal tells what happened
 */
export { type Candidate, type Decision, decide, type IdentityState, type Verdict } from './decide.ts';
export { inspect } from './inspect.ts';
export { type CertificateStatus, Journal, type Rotation, type Trigger } from './journal.ts';
export {
  type GenerationPublisher,
  LocalPublisher,
  type Publication,
  type PublishedGeneration,
  type PublishedIdentity,
} from './publisher.ts';
export { Reconciler, type ReconcilerOptions, type Report } from './reconciler.ts';
