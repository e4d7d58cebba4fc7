import { type TrustBundle, type ValidatedIdentity, validityOf } from '../certificates/index.ts';
import { type Finding, finding, SwivelError } from '../errors.ts';
import { whyUnanchored } from './anchoring.ts';
import { type Candidate, type Decision, decide, plainRules, type Rules } from './decide.ts';
import { Delays, type Range } from './delays.ts';
import { isExpiryTurn } from './expiry.ts';
import type { GatePolicy } from './gate.ts';
import { History } from './history.ts';
import { Holds } from './holds.ts';
import type { Journal, Trigger } from './journal.ts';
import type { GenerationPublisher, Publication } from './publisher.ts';
import { ShortChains } from './short-chains.ts';
import { type CanaryOptions, Trials } from './trials.ts';

export interface ActivationOptions {
  readonly gate: GatePolicy;
  /** The name of the trust bundle that every chain has to end in; any authority will do when left out. */
  readonly anchors?: string;
  readonly canary: CanaryOptions;
  /** How long activations wait. */
  readonly jitter: Range;
  /** Milliseconds before the expiry of a served certificate at which it is warned of. */
  readonly expiryWarnings: readonly number[];
}

/** What is on disk, and why one looks. */
export interface Occasion {
  readonly candidates: ReadonlyMap<string, Candidate>;
  readonly bundles: readonly TrustBundle[];
  readonly trigger: Trigger;
  /** Monotonic milliseconds of the first sign of a change. */
  readonly since: number;
  /** Identities whose certificate on disk an operator wants to be served whatever the gate or a hold says. */
  readonly accept: ReadonlySet<string>;
  /** Identities whose served certificate must not be served any more. */
  readonly compromised: ReadonlySet<string>;
}

/** Takes what is on disk to what is served, safely: gate, rehearsal, two-step commit, a look from outside, and back. */
export class Activation {
  readonly #publisher: GenerationPublisher;
  readonly #journal: Journal;
  readonly #options: ActivationOptions;
  readonly #holds = new Holds();
  readonly #history = new History();
  readonly #delays: Delays;
  readonly #shortChains = new ShortChains();
  readonly #trials: Trials;
  readonly #compromisedKeys = new Set<string>();
  #publishedAt = 0;

  constructor(publisher: GenerationPublisher, journal: Journal, options: ActivationOptions) {
    this.#publisher = publisher;
    this.#journal = journal;
    this.#options = options;
    this.#delays = new Delays(options.jitter);
    this.#trials = new Trials(options.canary);
  }

  /** The trials under way. */
  get trials(): Trials {
    return this.#trials;
  }

  /** @param now milliseconds since 1970 @returns the decision that holds */
  async run(occasion: Occasion, now: number): Promise<Decision> {
    this.#holds.releaseChanged(occasion.candidates);
    for (const id of occasion.accept) {
      const identity = occasion.candidates.get(id)?.identity;
      if (identity) this.#holds.accept(identity);
    }
    const compromised = this.#compromised(occasion);
    const decision = await this.#publish(occasion, compromised.size > 0, now, true);
    if (compromised.size > 0) this.#journal.cut([...occasion.compromised], this.#publisher.cut(compromised));
    return decision;
  }

  /**
   * Sees to it that the run that follows serves an earlier certificate, until the files change. Not while a run is under way.
   * @param id of an identity; all that the last commit changed when left out
   * @param candidates what is on disk
   * @param now milliseconds since 1970
   * @returns the identities that go back
   * @throws SwivelError CERTIFICATE_UNKNOWN, ROLLBACK_IMPOSSIBLE
   */
  rollback(id: string | undefined, candidates: ReadonlyMap<string, Candidate>, now: number): string[] {
    if (id !== undefined && !this.#publisher.current.served.has(id)) {
      throw new SwivelError('CERTIFICATE_UNKNOWN', `there is no certificate "${id}"`);
    }
    const ids = id === undefined ? this.#lastChanged() : [id];
    const back = ids.filter((one) => this.#goBack(one, candidates.get(one)?.identity ?? null, now));
    if (back.length === 0) throw new SwivelError('ROLLBACK_IMPOSSIBLE');
    return back;
  }

  /** The identities that the last commit exchanged, or put on trial. */
  #lastChanged(): readonly string[] {
    const { generation, ids } = this.#history.latest;
    const trials = [...this.#publisher.current.canaries].filter(([, { since }]) => since >= generation);
    const newest = Math.max(generation, ...trials.map(([, { since }]) => since));
    const begun = trials.filter(([, { since }]) => since === newest).map(([id]) => id);
    return newest === generation ? [...ids, ...begun] : begun;
  }

  /** @returns whether there is something to go back to */
  #goBack(id: string, onDisk: ValidatedIdentity | null, now: number): boolean {
    const { served, canaries } = this.#publisher.current;
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
  observe(id: string, fingerprint: string, refused: boolean): boolean {
    const failed = this.#trials.observe(id, fingerprint, refused);
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
  #compromised({ compromised }: Occasion): Set<string> {
    const fingerprints = new Set<string>();
    for (const id of compromised) {
      const current = this.#publisher.current.served.get(id)?.identity;
      if (!current) continue;
      this.#compromisedKeys.add(current.leaf.publicKey256);
      for (const { fingerprint } of [current, ...this.#history.of(id)]) fingerprints.add(fingerprint);
      // What is on disk was held back in favour of this one.
      if (this.#holds.get(id)?.reason.code === 'ROLLED_BACK') this.#holds.release(id);
    }
    return fingerprints;
  }

  /**
   * Decides, and publishes what that changes. What the TLS layer refuses counts as broken, and it is decided again: nothing may be
   * dropped in favour of it.
   */
  async #publish(occasion: Occasion, renewTicketKeys: boolean, now: number, mayConfirm: boolean): Promise<Decision> {
    const served = new Map([...this.#publisher.current.served].map(([id, one]) => [id, one.identity]));
    const decision = decide(occasion.candidates, served, now, this.#rules(occasion));
    const { bundles } = occasion;
    if (!renewTicketKeys && this.#isPublished(decision, bundles, served, now)) return decision;
    const target = { identities: decision.target, canaries: decision.canaries, bundles, renewTicketKeys };
    const publication = await this.#publisher.prepare(target, now);
    this.#releaseRefused(decision, served, publication.failures);
    const usable = without(occasion.candidates, publication.failures);
    if (usable) {
      publication.abort();
      return this.#publish({ ...occasion, candidates: usable }, renewTicketKeys, now, mayConfirm);
    }
    await this.#commit(publication, decision, served, occasion, now);
    if (!mayConfirm || occasion.trigger === 'start') return decision;
    const changed = decision.verdicts.filter(({ id, result }) => result === 'applied' && served.has(id));
    const wrong = await this.#publisher.confirm(changed.map(({ id }) => id));
    if (wrong.length === 0) return decision;
    for (const id of wrong) this.#takeBack(id, now);
    return this.#publish(occasion, false, now, false);
  }

  /** What was to be gone back to cannot be served any more: then it is not gone back. */
  #releaseRefused(
    { target }: Decision,
    served: ReadonlyMap<string, ValidatedIdentity>,
    failures: readonly Finding[],
  ): void {
    for (const { identity: id = '' } of failures) {
      const instead = this.#holds.get(id)?.instead;
      if (instead && served.get(id) !== instead && target.includes(instead)) this.#holds.release(id);
    }
  }

  async #commit(
    publication: Publication,
    decision: Decision,
    served: ReadonlyMap<string, ValidatedIdentity>,
    { trigger, since }: Occasion,
    now: number,
  ): Promise<void> {
    const drained = await publication.commit();
    this.#publishedAt = now;
    const replaced: ValidatedIdentity[] = [];
    const durationMs = Math.round((performance.now() - since) * 10) / 10;
    for (const verdict of decision.verdicts) {
      const from = served.get(verdict.id);
      const to = verdict.served;
      if (from?.fingerprint === to?.fingerprint) continue;
      // What one went back from is not what one goes back to.
      if (from && to && verdict.result !== 'held') replaced.push(from);
      if (trigger === 'start') continue;
      const rotation = {
        at: new Date(now).toISOString(),
        certificate: verdict.id,
        from: from?.leaf.fingerprint256 ?? null,
        to: to?.leaf.fingerprint256 ?? null,
        trigger: trigger === 'retry' ? ('event' as const) : trigger,
        durationMs,
        drained: (from && drained.get(from.fingerprint)) ?? 0,
      };
      this.#journal.rotated(rotation, to);
    }
    for (const { id, fingerprint } of decision.target) {
      if (this.#holds.get(id)?.fingerprint === fingerprint) this.#holds.release(id);
    }
    this.#history.committed(replaced, this.#publisher.current.number);
    for (const trial of this.#trials.published(decision.canaries, now)) this.#journal.trialBegan(trial);
  }

  /** The listener shows something else than was committed: back to what worked, if that can be served still. */
  #takeBack(id: string, now: number): void {
    const published = this.#publisher.current.served.get(id)?.identity;
    const before = published && this.#history.takeEarlier(id, published, this.#usableAt(now));
    if (!before) return;
    const file = published.files.certificate;
    const message = `after activating ${file} a listener showed another certificate; the change was taken back`;
    const reason = finding('HANDSHAKE_DISAGREES', 'error', { identity: id, file, message });
    this.#holds.set(id, { fingerprint: published.fingerprint, instead: before, reason, unusable: true });
  }

  #rules({ trigger, bundles }: Occasion): Rules {
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
      expiryWarnings: this.#options.expiryWarnings,
    };
  }

  #isPublished(
    { target, canaries }: Decision,
    bundles: readonly TrustBundle[],
    served: ReadonlyMap<string, ValidatedIdentity>,
    now: number,
  ): boolean {
    const { current } = this.#publisher;
    return (
      target.length === served.size &&
      target.every((identity) => served.get(identity.id) === identity) &&
      canaries.length === current.canaries.size &&
      canaries.every(({ id, fingerprint }) => current.canaries.get(id)?.identity.fingerprint === fingerprint) &&
      bundles.length === current.bundles.size &&
      bundles.every((bundle) => current.bundles.get(bundle.id)?.fingerprint === bundle.fingerprint) &&
      // Time alone may change who is the best for a name.
      !target.some((identity) => isExpiryTurn(identity, this.#publishedAt, now))
    );
  }
}

/** The candidates without those that the TLS layer refused; null when it refused none of them. */
function without(
  candidates: ReadonlyMap<string, Candidate>,
  failures: readonly Finding[],
): ReadonlyMap<string, Candidate> | null {
  const usable = new Map(candidates);
  let refused = false;
  for (const failure of failures) {
    const candidate = candidates.get(failure.identity ?? '');
    if (!candidate?.identity) continue;
    usable.set(candidate.id, { ...candidate, identity: null, findings: [...candidate.findings, failure] });
    refused = true;
  }
  return refused ? usable : null;
}
