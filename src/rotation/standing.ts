import { type TrustBundle, type ValidatedIdentity, validityOf } from '../certificates/index.ts';
import { type Finding, finding, SwivelError } from '../errors.ts';
import { whyUnanchored } from './anchoring.ts';
import { plainRules } from './decide.ts';
import { Delays, type Range } from './delays.ts';
import type { GatePolicy } from './gate.ts';
import { History } from './history.ts';
import { Holds } from './holds.ts';
import type { Trigger } from './journal.ts';
import type { PublishedGeneration } from './publisher.ts';
import { ShortChains } from './short-chains.ts';
import type { TicketKeyOptions } from './ticket-keys.ts';
import { type CanaryOptions, type Trial, Trials } from './trials.ts';
import type { Candidate, Decision, Rules, ServedNow } from './types.ts';

export interface ActivationOptions {
  readonly gate: GatePolicy;
  /** The name of the trust bundle that every chain has to end in; any authority will do when left out. */
  readonly anchors?: string;
  readonly canary: CanaryOptions;
  /** How long activations wait. */
  readonly jitter: Range;
  /** Milliseconds before the expiry of a served certificate at which it is warned of. */
  readonly expiryWarnings: readonly number[];
  /** How ticket keys are renewed; by nothing but a file, a changed bundle and a compromise when left out. */
  readonly ticketKeys?: TicketKeyOptions;
}

/** Warnings that compare with what was served before, and cannot be had again afterwards. */
const toldByGate: ReadonlySet<string> = new Set(['NAMES_LOST', 'KEY_WEAKER', 'CHAIN_UNANCHORED']);

const nothingTold: readonly Finding[] = [];

/**
 * What is to be known of certificates and stands in no file: what was served before, what is held back or accepted, whose key is
 * compromised, what is on trial or waits its turn. Makes the rules that are decided by.
 */
export class Standing {
  readonly #options: ActivationOptions;
  readonly #holds = new Holds();
  readonly #history = new History();
  readonly #delays: Delays;
  readonly #shortChains = new ShortChains();
  readonly #trials: Trials;
  readonly #compromisedKeys = new Set<string>();
  /** What the gate had to say of what is served, by identity. */
  readonly #told = new Map<string, { readonly fingerprint: string; readonly warnings: readonly Finding[] }>();

  constructor(options: ActivationOptions) {
    this.#options = options;
    this.#delays = new Delays(options.jitter);
    this.#trials = new Trials(options.canary);
  }

  /** The trials under way. */
  get trials(): Trials {
    return this.#trials;
  }

  /** The files changed, or an operator spoke. @param accept ids of what is to be served whatever the gate or a hold says */
  read(candidates: ReadonlyMap<string, Candidate>, accept: ReadonlySet<string>): void {
    this.#holds.releaseChanged(candidates);
    for (const id of accept) {
      const identity = candidates.get(id)?.identity;
      if (identity) this.#holds.accept(identity);
    }
  }

  /**
   * Has the run that follows serve an earlier certificate, until the files change.
   * @param id of an identity; all that the last commit changed when left out
   * @param candidates what is on disk
   * @param current what is served
   * @param now milliseconds since 1970
   * @returns the identities that go back
   * @throws SwivelError CERTIFICATE_UNKNOWN, ROLLBACK_IMPOSSIBLE
   */
  rollback(
    id: string | undefined,
    candidates: ReadonlyMap<string, Candidate>,
    current: PublishedGeneration,
    now: number,
  ): string[] {
    if (id !== undefined && !current.served.has(id)) {
      throw new SwivelError('CERTIFICATE_UNKNOWN', `there is no certificate "${id}"`);
    }
    const ids = id === undefined ? this.#lastChanged(current) : [id];
    const back = ids.filter((one) => this.#goBack(one, candidates.get(one)?.identity ?? null, current, now));
    if (back.length === 0) throw new SwivelError('ROLLBACK_IMPOSSIBLE');
    return back;
  }

  /** The identities that the last commit exchanged, or put on trial. */
  #lastChanged({ canaries }: PublishedGeneration): readonly string[] {
    const { generation, ids } = this.#history.latest;
    const trials = [...canaries].filter(([, { since }]) => since >= generation);
    const newest = Math.max(generation, ...trials.map(([, { since }]) => since));
    const begun = trials.filter(([, { since }]) => since === newest).map(([id]) => id);
    return newest === generation ? [...ids, ...begun] : begun;
  }

  /** @returns whether there is something to go back to */
  #goBack(
    id: string,
    onDisk: ValidatedIdentity | null,
    { served, canaries }: PublishedGeneration,
    now: number,
  ): boolean {
    const current = served.get(id)?.identity;
    if (!current) return false;
    const earlier = canaries.has(id) ? current : this.#history.takeEarlier(id, current, this.#usableAt(now));
    if (!earlier) return false;
    const message = `${id} was rolled back to ${earlier.leaf.fingerprint256.slice(0, 16)}; what is on disk is not served`;
    const reason = finding('ROLLED_BACK', 'warning', { identity: id, file: current.files.certificate, message });
    const { fingerprint } = onDisk ?? current;
    this.#holds.set(id, { fingerprint, instead: earlier, reason, unusable: false });
    return true;
  }

  /** What may be gone back to. */
  #usableAt(now: number): (identity: ValidatedIdentity) => boolean {
    return ({ leaf }) => validityOf(leaf, now) === 'valid' && !this.#compromisedKeys.has(leaf.publicKey256);
  }

  /**
   * Counts a handshake for the trial of its certificate, if there is one.
   * @returns whether that decided the trial: then a run takes the canary back
   */
  observe(id: string, fingerprint: string, refused: boolean, times: number): boolean {
    const failed = this.#trials.observe(id, fingerprint, refused, times);
    if (!failed) return false;
    const { canary, stable, identity } = failed;
    const rate = ({ refused: n, handshakes }: typeof canary) => `${n} of ${handshakes} handshakes`;
    const file = identity.files.certificate;
    const message = `clients refused ${file} in ${rate(canary)}, the one before in ${rate(stable)}`;
    const reason = finding('CANARY_REJECTED', 'error', { identity: id, file, message });
    this.#holds.set(id, { fingerprint: identity.fingerprint, instead: null, reason, unusable: false });
    return true;
  }

  /**
   * Notes the keys of what compromised identities are served with. What is on trial in its place is the remedy, not the trouble.
   * @returns the fingerprints on which connections may live: what drains since before is older, and cut as well
   */
  compromise(ids: ReadonlySet<string>, { served }: PublishedGeneration): Set<string> {
    const fingerprints = new Set<string>();
    for (const id of ids) {
      const current = served.get(id)?.identity;
      if (!current) continue;
      this.#compromisedKeys.add(current.leaf.publicKey256);
      for (const { fingerprint } of [current, ...this.#history.of(id)]) fingerprints.add(fingerprint);
      // What is on disk was held back in favour of this one.
      if (this.#holds.get(id)?.reason.code === 'ROLLED_BACK') this.#holds.release(id);
    }
    return fingerprints;
  }

  /** What was to be gone back to cannot be served any more: then it is not gone back. */
  releaseRefused({ target }: Decision, served: ServedNow, failures: readonly Finding[]): void {
    for (const { identity: id = '' } of failures) {
      const instead = this.#holds.get(id)?.instead;
      if (instead && served.get(id) !== instead && target.includes(instead)) this.#holds.release(id);
    }
  }

  /**
   * Notes what a commit changed.
   * @param replaced what is no longer served, and could be gone back to
   * @param number of the generation
   * @returns the trials that begin
   */
  committed(
    { verdicts, target, canaries, touched = verdicts }: Decision,
    replaced: readonly ValidatedIdentity[],
    number: number,
    now: number,
  ): Trial[] {
    for (const { id, fingerprint } of this.#holds.isEmpty ? [] : target) {
      if (this.#holds.get(id)?.fingerprint === fingerprint) this.#holds.release(id);
    }
    for (const { id, result, served, warnings } of touched) {
      if (result !== 'applied' || !served || this.#told.get(id)?.fingerprint === served.fingerprint) continue;
      const told = warnings.filter(({ code }) => toldByGate.has(code));
      // Of most there is nothing to tell.
      if (told.length === 0) this.#told.delete(id);
      else this.#told.set(id, { fingerprint: served.fingerprint, warnings: told });
    }
    this.#history.committed(replaced, number);
    return this.#trials.published(canaries, now);
  }

  /** The listener shows something else than was committed: back to what worked, if that can be served still. */
  takeBack(published: ValidatedIdentity, now: number): void {
    const { id } = published;
    const before = this.#history.takeEarlier(id, published, this.#usableAt(now));
    if (!before) return;
    const file = published.files.certificate;
    const message = `after activating ${file} a listener showed another certificate; the change was taken back`;
    const reason = finding('HANDSHAKE_DISAGREES', 'error', { identity: id, file, message });
    this.#holds.set(id, { fingerprint: published.fingerprint, instead: before, reason, unusable: true });
  }

  /** What the next decision goes by. @param bundles in use from then on */
  rulesFor(trigger: Trigger, bundles: readonly TrustBundle[]): Rules {
    const { anchors } = this.#options;
    const bundle = bundles.find(({ id }) => id === anchors);
    const atOnce = trigger === 'start' || trigger === 'api' || trigger === 'signal';
    return {
      gate: this.#options.gate,
      holdOf: (id) => this.#holds.get(id),
      activatesAt: atOnce ? (_, now) => now : this.#delays.activatesAt,
      wholeAt: atOnce ? plainRules.wholeAt : this.#shortChains.wholeAt,
      trialOf: this.#trials.stateOf,
      trialEnd: (identity, now) => this.#trials.get(identity.id)?.promoteAt ?? now + this.#options.canary.duration,
      isAccepted: (identity) => this.#holds.isAccepted(identity),
      unanchored: (identity) => (anchors === undefined ? null : whyUnanchored(identity, anchors, bundle)),
      isCompromised: ({ leaf }) => this.#compromisedKeys.has(leaf.publicKey256),
      toldAtActivation: ({ id, fingerprint }) => {
        const told = this.#told.get(id);
        return told?.fingerprint === fingerprint ? told.warnings : nothingTold;
      },
      expiryWarnings: this.#options.expiryWarnings,
      uneventful: this.#holds.isEmpty && this.#compromisedKeys.size === 0 && this.#told.size === 0,
    };
  }
}
