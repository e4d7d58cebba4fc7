import type { TrustBundle, ValidatedIdentity } from '../certificates/index.ts';
import { type Finding, finding, SwivelError } from '../errors.ts';
import { whyUnanchored } from './anchoring.ts';
import { type Candidate, type Decision, decide, type Rules } from './decide.ts';
import { Delays, type Range } from './delays.ts';
import { isExpiryTurn } from './expiry.ts';
import type { GatePolicy } from './gate.ts';
import { History } from './history.ts';
import { Holds } from './holds.ts';
import type { Journal, Trigger } from './journal.ts';
import type { GenerationPublisher, Publication } from './publisher.ts';
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
  readonly #trials: Trials;
  /** Chains that an operator accepted, by identity. */
  readonly #accepted = new Map<string, string>();
  /** What was on disk at the last run. */
  #onDisk: ReadonlyMap<string, Candidate> = new Map();
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
    this.#onDisk = occasion.candidates;
    this.#holds.releaseChanged(occasion.candidates);
    for (const id of occasion.accept) {
      const identity = occasion.candidates.get(id)?.identity;
      if (!identity) continue;
      this.#accepted.set(id, identity.fingerprint);
      this.#holds.release(id);
    }
    const compromised = this.#compromised(occasion);
    const decision = await this.#publish(occasion, compromised.size > 0, now, true);
    for (const fingerprint of compromised) this.#history.forget(fingerprint);
    if (compromised.size > 0) this.#journal.cut([...occasion.compromised], this.#publisher.cut(compromised));
    return decision;
  }

  /**
   * Sees to it that the next run serves an earlier certificate, until the files change.
   * @param id of an identity; all that the last commit changed when left out
   * @returns the identities that go back
   * @throws SwivelError CERTIFICATE_UNKNOWN, ROLLBACK_IMPOSSIBLE
   */
  rollback(id: string | undefined, now: number): string[] {
    const { served } = this.#publisher.current;
    if (id !== undefined && !served.has(id)) {
      throw new SwivelError('CERTIFICATE_UNKNOWN', `there is no certificate "${id}"`);
    }
    const ids = id === undefined ? [...this.#history.latest] : [id];
    const back: string[] = [];
    for (const one of ids) {
      const current = served.get(one)?.identity ?? null;
      if (!current) continue;
      const onTrial = this.#publisher.current.canaries.get(one)?.identity;
      const earlier = onTrial ? current : this.#history.takeEarlier(one, current, now);
      if (!earlier) continue;
      const { fingerprint256 } = earlier.leaf;
      const message = `${one} was rolled back to ${fingerprint256.slice(0, 16)}; what is on disk is not served`;
      const reason = finding('ROLLED_BACK', 'error', { identity: one, file: current.files.certificate, message });
      const fingerprint = this.#onDisk.get(one)?.identity?.fingerprint ?? current.fingerprint;
      this.#holds.set(one, { fingerprint, instead: earlier, reason, unusable: false });
      this.#accepted.delete(one);
      back.push(one);
    }
    if (back.length === 0) throw new SwivelError('ROLLBACK_IMPOSSIBLE');
    return back;
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

  /** The fingerprints that compromised identities are served with. */
  #compromised({ compromised }: Occasion): Set<string> {
    const { served, canaries } = this.#publisher.current;
    const fingerprints = new Set<string>();
    for (const id of compromised) {
      for (const map of [served, canaries]) {
        const identity = map.get(id)?.identity;
        if (!identity) continue;
        fingerprints.add(identity.fingerprint);
        this.#compromisedKeys.add(identity.leaf.publicKey256);
      }
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
    const usable = without(occasion.candidates, publication.failures);
    if (usable) {
      publication.abort();
      return this.#publish({ ...occasion, candidates: usable }, renewTicketKeys, now, mayConfirm);
    }
    const replaced = await this.#commit(publication, decision, served, occasion, now);
    if (!mayConfirm || occasion.trigger === 'start') return decision;
    const changed = decision.target.filter(({ id, fingerprint }) => served.get(id)?.fingerprint !== fingerprint);
    const wrong = await this.#publisher.confirm(changed.map(({ id }) => id));
    if (wrong.length === 0) return decision;
    for (const id of wrong) this.#takeBack(id, replaced.get(id) ?? null);
    return this.#publish(occasion, false, now, false);
  }

  async #commit(
    publication: Publication,
    decision: Decision,
    served: ReadonlyMap<string, ValidatedIdentity>,
    { trigger, since }: Occasion,
    now: number,
  ): Promise<Map<string, ValidatedIdentity>> {
    const drained = await publication.commit();
    this.#publishedAt = now;
    const replaced = new Map<string, ValidatedIdentity>();
    const durationMs = Math.round((performance.now() - since) * 10) / 10;
    for (const verdict of decision.verdicts) {
      const from = served.get(verdict.id);
      const to = verdict.served;
      if (from?.fingerprint === to?.fingerprint) continue;
      if (from) replaced.set(verdict.id, from);
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
    const held = new Set(decision.verdicts.filter(({ result }) => result === 'held').map(({ id }) => id));
    // What one went back from is not what one goes back to.
    this.#history.committed([...replaced.values()].filter(({ id }) => !held.has(id)));
    for (const trial of this.#trials.published(decision.canaries, now)) this.#journal.trialBegan(trial);
    return replaced;
  }

  /** The listener shows something else than was committed: back to what worked. */
  #takeBack(id: string, before: ValidatedIdentity | null): void {
    const published = this.#publisher.current.served.get(id);
    if (!published || !before) return;
    const file = published.identity.files.certificate;
    const message = `after activating ${file} a listener showed another certificate; the change was taken back`;
    const reason = finding('HANDSHAKE_DISAGREES', 'error', { identity: id, file, message });
    const { fingerprint } = published.identity;
    this.#holds.set(id, { fingerprint, instead: before, reason, unusable: true });
  }

  #rules({ trigger, bundles }: Occasion): Rules {
    const { anchors } = this.#options;
    const bundle = bundles.find(({ id }) => id === anchors);
    const atOnce = trigger === 'start' || trigger === 'api' || trigger === 'signal';
    return {
      gate: this.#options.gate,
      holdOf: (id) => this.#holds.get(id),
      activatesAt: atOnce ? (_, now) => now : this.#delays.activatesAt,
      trialOf: this.#trials.stateOf,
      trialEnd: (identity, now) => this.#trials.get(identity.id)?.promoteAt ?? now + this.#options.canary.duration,
      isAccepted: ({ id, fingerprint }) => this.#accepted.get(id) === fingerprint,
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
