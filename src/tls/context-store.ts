import type { SecureContext } from 'node:tls';
import { coversHost, normalizeName, type TrustBundle, type ValidatedIdentity } from '../certificates/index.ts';
import { type Finding, finding, SwivelError } from '../errors.ts';
import { rest } from '../pace.ts';
import { Building } from './building.ts';
import { contextFailure, rehearsalFailure, type Served } from './contexts.ts';
import {
  emptyGeneration,
  type Generation,
  type PreparedGeneration,
  type ServedIdentity,
  type Target,
} from './generation.ts';
import { chainsOf, exchangedFor, exchangedIn, firstOf, type Holding } from './holding.ts';
import { ContextCache, type LazyContext } from './lazy-context.ts';
import { amendNameIndex, buildNameIndex, lookUp } from './names.ts';
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
  /** Contexts in memory at most, beside those of connections. */
  readonly contextsKept?: number;
}

/**
 * Milliseconds that rehearsing one generation may take. With thousands of new certificates, at start above all, only some are: the first
 * ones will do to find what is wrong with all of them.
 */
const rehearsalBudget = { few: 1000, many: 100 } as const;

const nothing = { ...emptyGeneration, madeOf: null, retires: new Set() } as Generation as Holding;

/** A certificate that cannot be served, which showed when a client wanted it. */
export interface Refusal {
  readonly id: string;
  /** Of its chain. */
  readonly fingerprint: string;
  readonly finding: Finding;
}

/** What a client is shown. */
export interface Presented {
  readonly served: ServedIdentity;
  readonly context: SecureContext;
}

/** Holds the current generation, and builds the next one beside it. */
export class ContextStore {
  readonly #options: ContextStoreOptions;
  readonly #random: () => number;
  readonly #listeners = new Set<(generation: Generation) => void>();
  readonly #cache: ContextCache;
  /** What turned out to be of no use when a client wanted it. */
  readonly #refused = new WeakSet<ServedIdentity>();
  #tellRefusal: (refusal: Refusal) => void = () => {};
  #ticketKeys = createTicketKeys();
  #current: Holding = nothing;
  #preparing = false;

  constructor(options: ContextStoreOptions, random: () => number = Math.random) {
    this.#options = options;
    this.#random = random;
    this.#cache = new ContextCache(options.contextsKept);
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

  /** Calls a listener with each identity whose context could not be built when a client wanted it: others are shown in its place. */
  onRefused(listener: (refusal: Refusal) => void): void {
    this.#tellRefusal = listener;
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
      const building = new Building(base, this.#cache, { number, bundles, rebuild: trustChanged, now });
      const isPlain = !trustChanged && base.canaries.size + target.canaries.length === 0;
      const exchanged = isPlain ? exchangedFor(base.madeOf, target.identities) : null;
      let served = exchanged
        ? await building.exchange(exchanged, base.served)
        : await building.all(target.identities, base.served);
      let canaries = isPlain ? base.canaries : await building.all(target.canaries, base.canaries);
      const assemble = () => {
        const madeOf = building.failures.length === 0 ? target.identities : null;
        return this.#assemble({ number, served, canaries, bundles, madeOf }, base, now);
      };
      let generation = assemble();
      // Listeners are given the default with the commit, which must not fail.
      while (generation.fallback && !building.proves(generation.fallback)) {
        const without = served instanceof Map ? served : new Map(served);
        building.putBack(generation.fallback, without, base.served);
        served = without;
        generation = assemble();
      }
      await rest();
      const [refused] = await Promise.all([this.#rehearse(building, generation), meanwhile(generation)]);
      if (refused.size > 0) {
        // In copies: others may have been given the generation as it was to be.
        const [without, untried] = [new Map(served), new Map(canaries)];
        building.withdraw(refused.keys(), without, untried);
        [served, canaries] = [without, untried];
        generation = { ...assemble(), madeOf: null };
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
    if (known && !this.#refused.has(known)) return known;
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
    if (!canary || this.#refused.has(canary) || this.#random() >= (this.#options.canaryShare ?? 0)) return stable;
    // A name that it lost stays with the stable one meanwhile.
    const host = normalizeName(servername);
    const lost = coversHost(stable.identity.names, host) && !coversHost(canary.identity.names, host);
    return lost ? stable : canary;
  }

  /**
   * What a handshake is to be answered with: as `choose`, and never what cannot be served after all.
   * @returns undefined when the name is to be rejected
   */
  present(servername: string): Presented | undefined {
    let served = this.choose(servername);
    while (served) {
      try {
        return { served, context: served.context };
      } catch (error) {
        // Each is refused once, and the default was built before it was committed.
        if (this.#refused.has(served)) return undefined;
        this.#refused.add(served);
        const { id, fingerprint } = served.identity;
        this.#tellRefusal({ id, fingerprint, finding: contextFailure(served.identity, error) });
        served = this.choose(servername);
      }
    }
    return undefined;
  }

  /** @returns what failed, and why */
  async #rehearse({ fresh, isLarge }: Building, generation: Generation): Promise<Map<Served, Finding>> {
    const options = this.#options.rehearsal;
    const failures = new Map<Served, Finding>();
    if (!options) return failures;
    const end = performance.now() + rehearsalBudget[isLarge ? 'many' : 'few'];
    for (const served of fresh) {
      const reason = await rehearse(served, generation, options);
      if (reason !== null) failures.set(served, rehearsalFailure(served.identity, reason));
      if (performance.now() > end) break;
    }
    return failures;
  }

  #assemble(
    {
      number,
      bundles,
      madeOf,
      served,
      canaries,
    }: Pick<Holding, 'number' | 'served' | 'canaries' | 'bundles' | 'madeOf'>,
    base: Holding,
    now: number,
  ): Holding {
    const exchanged = exchangedIn(base.served, served);
    const index = (exchanged && amendNameIndex(base.index, exchanged)) ?? buildNameIndex(served.values(), now);
    const wanted = this.#options.defaultCertificate;
    const chosen = wanted === undefined ? undefined : served.get(wanted);
    const findings = [...index.shadowed];
    if (wanted !== undefined && !chosen) {
      const message = `the default certificate "${wanted}" does not exist; there are: ${[...served.keys()].join(', ')}`;
      findings.push(finding('DEFAULT_UNKNOWN', 'warning', { message }));
    }
    return {
      number,
      bundles,
      madeOf,
      served,
      canaries,
      index,
      fallback: chosen ?? firstIn(served, exchanged && base.fallback),
      findings,
      ...chainsOf(base, { served, canaries }, exchanged),
    };
  }

  #commit(base: Holding, generation: Holding, ticketKeys: Buffer): ReadonlySet<string> {
    if (!this.#preparing || base !== this.#current) throw new SwivelError('INTERNAL', 'the generation is out of date');
    this.#end();
    this.#ticketKeys = ticketKeys;
    this.#current = generation;
    const isServed = (context: LazyContext) => {
      const { id } = context.identity;
      return generation.served.get(id)?.lazy === context || generation.canaries.get(id)?.lazy === context;
    };
    const exchanged = base.canaries.size === 0 ? exchangedIn(base.served, generation.served) : null;
    this.#cache.keep(
      isServed,
      exchanged?.map(([known]) => known.lazy),
    );
    for (const listener of this.#listeners) listener(generation);
    return generation.retires;
  }

  #end(): void {
    this.#preparing = false;
  }
}

/** @param known the first of the ones before, where it is known that no id came or went */
function firstIn(served: ReadonlyMap<string, Served>, known: Served | null): Served | null {
  const first = known?.identity.id ?? firstOf(served.keys());
  return first === undefined ? null : (served.get(first) ?? null);
}

function sameBundles(a: ReadonlyMap<string, TrustBundle>, b: ReadonlyMap<string, TrustBundle>): boolean {
  if (a.size !== b.size) return false;
  for (const [id, { fingerprint }] of a) if (b.get(id)?.fingerprint !== fingerprint) return false;
  return true;
}
