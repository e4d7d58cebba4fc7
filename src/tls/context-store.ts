import { setImmediate as yieldToEvents } from 'node:timers/promises';
import { coversHost, normalizeName, type TrustBundle, type ValidatedIdentity } from '../certificates/index.ts';
import { type Finding, finding, SwivelError } from '../errors.ts';
import { build, contextFailure, rehearsalFailure, reuse } from './contexts.ts';
import {
  emptyGeneration,
  type Generation,
  type PreparedGeneration,
  type ServedIdentity,
  type Target,
} from './generation.ts';
import { buildNameIndex, lookUp } from './names.ts';
import { type RehearsalOptions, rehearse } from './rehearsal.ts';
import { createTicketKeys } from './ticket-keys.ts';

export interface ContextStoreOptions {
  /** The id of the identity for clients without a known name; the first one, by id, when left out. */
  readonly defaultCertificate?: string;
  readonly unknownName: 'default' | 'reject';
  /** The share of handshakes that a canary gets, between 0 and 1. */
  readonly canaryShare?: number;
  /** How to rehearse handshakes before a certificate is served; not at all when left out. */
  readonly rehearsal?: RehearsalOptions;
}

/** Milliseconds of building contexts after which the event loop gets a turn. */
const slice = 8;
/** Milliseconds that rehearsing one generation may take: with thousands of new certificates, at start above all, only some are. */
const rehearsalBudget = 1000;

/** Holds the current generation, and builds the next one beside it. */
export class ContextStore {
  readonly #options: ContextStoreOptions;
  readonly #random: () => number;
  readonly #listeners = new Set<(generation: Generation) => void>();
  #ticketKeys = createTicketKeys();
  #current: Generation = emptyGeneration;
  #preparing = false;

  constructor(options: ContextStoreOptions, random: () => number = Math.random) {
    this.#options = options;
    this.#random = random;
  }

  get current(): Generation {
    return this.#current;
  }

  /** What session tickets are sealed with, the same for all listeners: those of the current generation, random ones before the first. */
  get ticketKeys(): Buffer {
    return this.#ticketKeys;
  }

  /** Calls a listener within each commit. @returns how to end that */
  onCommit(listener: (generation: Generation) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Builds the next generation, and rehearses handshakes with what is new in it. Contexts of unchanged identities are reused. An
   * identity that cannot be served keeps what it has, and is reported.
   * @param now milliseconds since 1970
   * @param meanwhile what else is to be done with the generation while handshakes are rehearsed; should one fail, it becomes another one
   */
  async prepare(
    target: Target,
    now: number,
    meanwhile: (generation: Generation) => Promise<void> = async () => {},
  ): Promise<PreparedGeneration> {
    if (this.#preparing) throw new SwivelError('INTERNAL', 'a generation is being prepared already');
    this.#preparing = true;
    try {
      const base = this.#current;
      const wanted = new Map(target.bundles.map((bundle) => [bundle.id, bundle]));
      const trustChanged = !sameBundles(base.bundles, wanted);
      const bundles = trustChanged ? wanted : base.bundles;
      const number = target.number ?? base.number + 1;
      const building = new Building(base, bundles, { number, rebuild: trustChanged, now });
      const served = await building.all(target.identities, base.served);
      const canaries = await building.all(target.canaries, base.canaries);
      const assemble = () => this.#assemble({ number, served, canaries, bundles }, now);
      let generation = assemble();
      const [refused] = await Promise.all([this.#rehearse(building.fresh, generation), meanwhile(generation)]);
      if (refused.size > 0) {
        building.withdraw(refused.keys(), served, canaries);
        generation = assemble();
      }
      const failures = [...building.failures, ...refused.values()];
      return {
        generation,
        failures,
        commit: () => this.#commit(base, generation, target.ticketKeys),
        abort: () => this.#end(),
      };
    } catch (error) {
      this.#end();
      throw error;
    }
  }

  /**
   * The identity for a server name, as a client sent it (RFC 6066 §3).
   * @returns undefined when the name is to be rejected
   */
  resolve(servername: string | false | undefined): ServedIdentity | undefined {
    const { index, fallback } = this.#current;
    if (!servername) return fallback ?? undefined;
    const known = lookUp(index, normalizeName(servername));
    if (known) return known;
    return this.#options.unknownName === 'reject' ? undefined : (fallback ?? undefined);
  }

  /** A name by which clients get an identity; null for the one they get without a name, undefined when they get it by none. */
  nameFor({ id, names }: ValidatedIdentity): string | null | undefined {
    const { index, fallback } = this.#current;
    for (const name of names) {
      const host = name.replace(/^\*\./, 'swivel-confirmation.');
      if (lookUp(index, host)?.identity.id === id) return host;
    }
    return fallback?.identity.id === id ? null : undefined;
  }

  /** As `resolve`, for a handshake: some get the canary. */
  choose(servername: string): ServedIdentity | undefined {
    const stable = this.resolve(servername);
    const canary = stable && this.#current.canaries.get(stable.identity.id);
    if (!canary || this.#random() >= (this.#options.canaryShare ?? 0)) return stable;
    // A name that it lost stays with the stable one meanwhile.
    const host = normalizeName(servername);
    const lost = coversHost(stable.identity.names, host) && !coversHost(canary.identity.names, host);
    return lost ? stable : canary;
  }

  /** @returns what failed, and why */
  async #rehearse(fresh: readonly ServedIdentity[], generation: Generation): Promise<Map<ServedIdentity, Finding>> {
    const options = this.#options.rehearsal;
    const failures = new Map<ServedIdentity, Finding>();
    if (!options) return failures;
    const end = performance.now() + rehearsalBudget;
    for (const served of fresh) {
      const reason = await rehearse(served, generation, options);
      if (reason !== null) failures.set(served, rehearsalFailure(served.identity, reason));
      if (performance.now() > end) break;
    }
    return failures;
  }

  #assemble(
    parts: Pick<Generation, 'number' | 'canaries' | 'bundles'> & { readonly served: Map<string, ServedIdentity> },
    now: number,
  ): Generation {
    const { served, canaries } = parts;
    const index = buildNameIndex(served.values(), now);
    const wanted = this.#options.defaultCertificate;
    const chosen = wanted === undefined ? undefined : served.get(wanted);
    const findings = [...index.shadowed];
    if (wanted !== undefined && !chosen) {
      const message = `the default certificate "${wanted}" does not exist; there are: ${[...served.keys()].join(', ')}`;
      findings.push(finding('DEFAULT_UNKNOWN', 'warning', { message }));
    }
    const first = [...served.keys()].sort()[0];
    const everything = [...served.values(), ...canaries.values()];
    return {
      ...parts,
      index,
      fallback: chosen ?? (first === undefined ? null : (served.get(first) ?? null)),
      fingerprints: new Set(everything.map(({ identity }) => identity.fingerprint)),
      findings,
    };
  }

  #commit(base: Generation, generation: Generation, ticketKeys: Buffer): ReadonlySet<string> {
    if (!this.#preparing || base !== this.#current) throw new SwivelError('INTERNAL', 'the generation is out of date');
    this.#end();
    this.#ticketKeys = ticketKeys;
    this.#current = generation;
    for (const listener of this.#listeners) listener(generation);
    return base.fingerprints.difference(generation.fingerprints);
  }

  #end(): void {
    this.#preparing = false;
  }
}

interface BuildingOptions {
  /** Of the generation. */
  readonly number: number;
  /** The bundles changed, which every context holds. */
  readonly rebuild: boolean;
  /** Milliseconds since 1970. */
  readonly now: number;
}

/** The contexts of one generation in the making. */
class Building {
  readonly failures: Finding[] = [];
  /** What was built anew. */
  readonly fresh: ServedIdentity[] = [];
  readonly #base: Generation;
  readonly #bundles: ReadonlyMap<string, TrustBundle>;
  readonly #options: BuildingOptions;
  #sliceEnd = performance.now() + slice;

  constructor(base: Generation, bundles: ReadonlyMap<string, TrustBundle>, options: BuildingOptions) {
    this.#base = base;
    this.#bundles = bundles;
    this.#options = options;
  }

  async all(identities: readonly ValidatedIdentity[], before: ReadonlyMap<string, ServedIdentity>) {
    const served = new Map<string, ServedIdentity>();
    for (const identity of identities) {
      const known = before.get(identity.id);
      try {
        served.set(identity.id, this.#one(identity, known));
      } catch (error) {
        this.failures.push(contextFailure(identity, error));
        if (known) served.set(identity.id, known);
      }
      if (performance.now() > this.#sliceEnd) {
        await yieldToEvents();
        this.#sliceEnd = performance.now() + slice;
      }
    }
    return served;
  }

  /** Puts back what there was before in place of what cannot be served after all. */
  withdraw(
    refused: Iterable<ServedIdentity>,
    served: Map<string, ServedIdentity>,
    canaries: Map<string, ServedIdentity>,
  ): void {
    for (const one of refused) {
      const { id } = one.identity;
      const before = this.#base.served.get(id);
      if (canaries.get(id) === one) canaries.delete(id);
      else if (before) served.set(id, before);
      else served.delete(id);
    }
  }

  #one(identity: ValidatedIdentity, before: ServedIdentity | undefined): ServedIdentity {
    // What was on trial is promoted with the context it had.
    const known = reuse(before, identity) ?? reuse(this.#base.canaries.get(identity.id), identity);
    const { number, rebuild, now } = this.#options;
    if (known && !rebuild) return known;
    const built = build(identity, this.#bundles.values(), number, now);
    if (known) return { ...known, context: built.context };
    this.fresh.push(built);
    return built;
  }
}

function sameBundles(a: ReadonlyMap<string, TrustBundle>, b: ReadonlyMap<string, TrustBundle>): boolean {
  if (a.size !== b.size) return false;
  for (const [id, { fingerprint }] of a) if (b.get(id)?.fingerprint !== fingerprint) return false;
  return true;
}
