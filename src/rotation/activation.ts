import type { TrustBundle, ValidatedIdentity } from '../certificates/index.ts';
import type { Finding } from '../errors.ts';
import { rest } from '../pace.ts';
import type { Refusal } from '../tls/index.ts';
import { decide } from './decide.ts';
import { CarriedOut, decideChanges } from './decide-changes.ts';
import { isExpiryTurn } from './expiry.ts';
import type { Journal, Trigger } from './journal.ts';
import type { GenerationPublisher, Publication, PublishedGeneration } from './publisher.ts';
import { type ActivationOptions, Standing } from './standing.ts';
import { type TicketKeyReading, TicketKeys } from './ticket-keys.ts';
import type { Trials } from './trials.ts';
import type { Candidate, Decision, ServedNow } from './types.ts';

/** What is on disk, and why one looks. */
export interface Occasion {
  readonly candidates: ReadonlyMap<string, Candidate>;
  readonly bundles: readonly TrustBundle[];
  /** What there is to make ticket keys from; null when no source gives any. */
  readonly ticketKeys: TicketKeyReading | null;
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
  readonly #standing: Standing;
  readonly #ticketKeys: TicketKeys;
  /** What the last commit activated in the place of something else. */
  readonly #activated = new Set<string>();
  /** What turned out to be of no use when a client wanted it, by id. */
  readonly #refusals = new Map<string, Refusal>();
  #publishedAt = 0;
  /** The last decision, while what is served is what it wanted. */
  #carriedOut: { readonly as: PublishedGeneration; readonly decision: CarriedOut } | null = null;

  constructor(publisher: GenerationPublisher, journal: Journal, options: ActivationOptions) {
    this.#publisher = publisher;
    this.#journal = journal;
    this.#standing = new Standing(options);
    this.#ticketKeys = new TicketKeys(options.ticketKeys);
  }

  /** The trials under way. */
  get trials(): Trials {
    return this.#standing.trials;
  }

  /** The ticket keys, and what is to be known of them. */
  get ticketKeys(): TicketKeys {
    return this.#ticketKeys;
  }

  /** A certificate cannot be served, which showed only when a client wanted it: it counts as broken from the next run on. */
  refused(refusal: Refusal): void {
    this.#refusals.set(refusal.id, refusal);
  }

  /** @param now milliseconds since 1970 @returns the decision that holds */
  async run(occasion: Occasion, now: number): Promise<Decision> {
    this.#standing.read(occasion.candidates, occasion.accept);
    const compromised = this.#standing.compromise(occasion.compromised, this.#publisher.current);
    this.#ticketKeys.read(occasion.ticketKeys, now);
    if (compromised.size > 0) this.#ticketKeys.compromise(now);
    const decision = await this.#publish(occasion, now);
    if (compromised.size > 0) {
      this.#journal.cut([...occasion.compromised], await this.#publisher.cut(compromised));
    }
    return decision;
  }

  /**
   * Has the next run serve an earlier certificate. Not while a run is under way.
   * @param id of an identity; all that the last commit changed when left out
   * @param candidates what is on disk
   * @param now milliseconds since 1970
   * @returns the identities that go back
   * @throws SwivelError CERTIFICATE_UNKNOWN, ROLLBACK_IMPOSSIBLE
   */
  rollback(id: string | undefined, candidates: ReadonlyMap<string, Candidate>, now: number): string[] {
    return this.#standing.rollback(id, candidates, this.#publisher.current, now);
  }

  /** Counts handshakes for the trial of their certificate. @returns whether that decided it: then a run takes the canary back */
  observe(id: string, fingerprint: string, refused: boolean, times: number): boolean {
    return this.#standing.observe(id, fingerprint, refused, times);
  }

  /**
   * Asks the listeners from outside whether they show what a run activated, and takes back what they do not.
   * @returns the decision that holds then; null when all is as it should be
   */
  async confirm(occasion: Occasion, { verdicts, touched }: Decision, now: number): Promise<Decision | null> {
    const activated = (touched ?? verdicts).filter(({ id }) => this.#activated.has(id)).map(({ id }) => id);
    this.#activated.clear();
    if (occasion.trigger === 'start' || activated.length === 0) return null;
    const wrong = await this.#publisher.confirm(activated);
    if (wrong.length === 0) return null;
    for (const id of wrong) {
      const published = this.#publisher.current.served.get(id)?.identity;
      if (published) this.#standing.takeBack(published, now);
    }
    const decision = await this.#publish(occasion, now);
    this.#activated.clear();
    return decision;
  }

  /**
   * Decides, and publishes what that changes. What the TLS layer refuses counts as broken, and it is decided again: nothing may be
   * dropped in favour of it.
   */
  async #publish(occasion: Occasion, now: number): Promise<Decision> {
    const served = servedNow(this.#publisher.current, this.#refusals);
    const candidates = this.#withoutRefused(occasion.candidates);
    const decision = this.#decide(candidates, served, now, occasion);
    const { bundles } = occasion;
    const ticketKeys = this.#ticketKeys.keysFor(bundles);
    if (this.#ticketKeys.areInEffect(ticketKeys) && this.#isPublished(decision, bundles, served, now)) {
      this.#remember(candidates, decision, now);
      return decision;
    }
    const target = { identities: decision.target, canaries: decision.canaries, bundles, ticketKeys };
    const publication = await this.#publisher.prepare(target, now);
    this.#standing.releaseRefused(decision, served, publication.failures);
    const usable = without(occasion.candidates, publication.failures);
    if (usable) {
      publication.abort();
      return this.#publish({ ...occasion, candidates: usable }, now);
    }
    await this.#commit(publication, decision, served, occasion, now);
    if (publication.failures.length === 0) this.#remember(candidates, decision, now);
    const change = this.#ticketKeys.committed(ticketKeys, now);
    if (change) this.#journal.ticketKeysChanged(change, occasion.trigger);
    return decision;
  }

  #decide(
    candidates: ReadonlyMap<string, Candidate>,
    served: ServedNow,
    now: number,
    { trigger, bundles }: Occasion,
  ): Decision {
    const rules = this.#standing.rulesFor(trigger, bundles);
    const before = this.#carriedOut;
    this.#carriedOut = null;
    const isKnown = before?.as === this.#publisher.current && this.#refusals.size === 0;
    const changes = isKnown ? decideChanges(before.decision, candidates, served, now, rules) : null;
    return changes ?? decide(candidates, served, now, rules);
  }

  /** What a decision wanted to be served is served, and nothing else. */
  #remember(candidates: ReadonlyMap<string, Candidate>, decision: Decision, now: number): void {
    const { current } = this.#publisher;
    this.#carriedOut = { as: current, decision: new CarriedOut(candidates, decision, now) };
  }

  #withoutRefused(candidates: ReadonlyMap<string, Candidate>): ReadonlyMap<string, Candidate> {
    for (const [id, { fingerprint }] of this.#refusals) {
      if (candidates.get(id)?.identity?.fingerprint !== fingerprint) this.#refusals.delete(id);
    }
    const findings = [...this.#refusals.values()].map(({ finding }) => finding);
    return without(candidates, findings) ?? candidates;
  }

  async #commit(
    publication: Publication,
    decision: Decision,
    served: ServedNow,
    { candidates, trigger, since }: Occasion,
    now: number,
  ): Promise<void> {
    const before = this.#publisher.current.bundles;
    const drained = await publication.commit();
    await rest();
    if (trigger !== 'start') this.#journal.trustChanged(before, this.#publisher.current.bundles);
    this.#publishedAt = now;
    const replaced: ValidatedIdentity[] = [];
    const committedAt = performance.now();
    for (const verdict of decision.touched ?? decision.verdicts) {
      const from = served.get(verdict.id);
      const to = verdict.served;
      if (from?.fingerprint === to?.fingerprint) continue;
      if (from && to && verdict.result === 'applied') this.#activated.add(verdict.id);
      // What one went back from is not what one goes back to.
      if (from && to && verdict.result !== 'held') replaced.push(from);
      if (trigger === 'start') continue;
      // What was asked for after the occasion arose was not waited for from then on.
      const waitedMs = committedAt - Math.max(since, candidates.get(verdict.id)?.askedAt ?? since);
      const rotation = {
        at: new Date(now).toISOString(),
        certificate: verdict.id,
        from: from?.leaf.fingerprint256 ?? null,
        to: to?.leaf.fingerprint256 ?? null,
        trigger: trigger === 'retry' ? ('event' as const) : trigger,
        durationMs: Math.round(waitedMs * 10) / 10,
        drained: (from && drained.get(from.fingerprint)) ?? 0,
      };
      this.#journal.rotated(rotation, to);
    }
    const { number } = this.#publisher.current;
    for (const trial of this.#standing.committed(decision, replaced, number, now)) this.#journal.trialBegan(trial);
  }

  #isPublished(
    { target, canaries, touched }: Decision,
    bundles: readonly TrustBundle[],
    served: ServedNow,
    now: number,
  ): boolean {
    const { current } = this.#publisher;
    const doubtful = touched ? touched.flatMap((verdict) => verdict.served ?? []) : target;
    return (
      target.length === served.size &&
      doubtful.every((identity) => served.get(identity.id) === identity) &&
      canaries.length === current.canaries.size &&
      canaries.every(({ id, fingerprint }) => current.canaries.get(id)?.identity.fingerprint === fingerprint) &&
      bundles.length === current.bundles.size &&
      bundles.every((bundle) => current.bundles.get(bundle.id)?.fingerprint === bundle.fingerprint) &&
      // Time alone may change who is the best for a name.
      !doubtful.some((identity) => isExpiryTurn(identity, this.#publishedAt, now))
    );
  }
}

/** What a generation serves that is of use, without a copy of it. */
function servedNow({ served }: PublishedGeneration, refusals: ReadonlyMap<string, Refusal>): ServedNow {
  const get = (id: string) => served.get(id)?.identity;
  const usable = (id: string) => {
    const identity = get(id);
    return identity?.fingerprint === refusals.get(id)?.fingerprint ? undefined : identity;
  };
  return { size: served.size, keys: () => served.keys(), get: refusals.size === 0 ? get : usable };
}

/** The candidates without those that the TLS layer refused; null when it refused none of them. */
function without(
  candidates: ReadonlyMap<string, Candidate>,
  failures: readonly Finding[],
): ReadonlyMap<string, Candidate> | null {
  if (failures.length === 0) return null;
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
