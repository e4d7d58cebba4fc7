import type { TrustBundle, ValidatedIdentity } from '../certificates/index.ts';
import type { Finding } from '../errors.ts';
import { LayeredMap } from '../files/index.ts';
import { rest } from '../pace.ts';
import { contextFailure, Served } from './contexts.ts';
import { type ContextCache, LazyContext } from './lazy-context.ts';

/** What the generation in the making starts from. */
export interface Base {
  readonly served: ReadonlyMap<string, Served>;
  readonly canaries: ReadonlyMap<string, Served>;
}

export interface BuildingOptions {
  /** Of the generation. */
  readonly number: number;
  readonly bundles: ReadonlyMap<string, TrustBundle>;
  /** The bundles changed, which every context holds. */
  readonly rebuild: boolean;
  /** Milliseconds since 1970. */
  readonly now: number;
}

/** New contexts up to which each is built before it is committed. */
const builtAtOnce = 100;

/**
 * The contexts of one generation in the making. What is to replace something that works is built before it may; of thousands that are new
 * altogether, as at start, each is built by the first handshake that wants it.
 */
export class Building {
  readonly failures: Finding[] = [];
  /** What is new, and was not built yet by anybody. */
  readonly fresh: Served[] = [];
  readonly #base: Base;
  readonly #cache: ContextCache;
  readonly #options: BuildingOptions;

  constructor(base: Base, cache: ContextCache, options: BuildingOptions) {
    this.#base = base;
    this.#cache = cache;
    this.#options = options;
  }

  /** Whether only some of what is new was built. */
  get isLarge(): boolean {
    return this.fresh.length > builtAtOnce;
  }

  /** @param before what serves the same ids now */
  async all(
    identities: readonly ValidatedIdentity[],
    before: ReadonlyMap<string, Served>,
  ): Promise<Map<string, Served>> {
    const served = new Map(before);
    const unbuilt: Served[] = [];
    // One pass over thousands for the few that changed: what follows from those is known without another.
    let kept = 0;
    for (const identity of identities) {
      const known = before.get(identity.id);
      if (known) kept += 1;
      if (known?.identity === identity && !this.#options.rebuild) continue;
      const one = this.#one(identity, known);
      served.set(identity.id, one);
      if (!one.lazy.isBuilt && known?.lazy !== one.lazy) unbuilt.push(one);
    }
    if (kept < before.size) {
      const wanted = new Set(identities.map(({ id }) => id));
      for (const id of before.keys()) if (!wanted.has(id)) served.delete(id);
    }
    const few = unbuilt.length <= builtAtOnce;
    for (const one of unbuilt) {
      const replaces = one.since === this.#options.number && this.#base.served.has(one.identity.id);
      if (few || replaces) await this.#prove(one, served, before);
    }
    return served;
  }

  /**
   * As {@link all}, where it is known that only some differ from what is served, each of which stands in the place of another.
   * @param before what serves the same ids now
   */
  async exchange(
    identities: readonly ValidatedIdentity[],
    before: ReadonlyMap<string, Served>,
  ): Promise<ReadonlyMap<string, Served>> {
    const exchanged = new Map<string, Served>();
    for (const identity of identities) {
      const known = before.get(identity.id);
      const one = this.#one(identity, known);
      exchanged.set(identity.id, one);
      if (!one.lazy.isBuilt && known?.lazy !== one.lazy) await this.#prove(one, exchanged, before);
    }
    return LayeredMap.over(before, exchanged);
  }

  /** Builds a context. @returns whether it can be built; what is wrong is among the failures otherwise */
  proves(one: Served): boolean {
    try {
      one.lazy.use();
      return true;
    } catch (error) {
      this.failures.push(contextFailure(one.identity, error));
      return false;
    }
  }

  /** Puts back what there was before in the place of one that cannot be built. */
  putBack(one: Served, served: Map<string, Served>, before: ReadonlyMap<string, Served>): void {
    const { id } = one.identity;
    const known = before.get(id);
    if (known) served.set(id, known);
    else served.delete(id);
    const at = this.fresh.indexOf(one);
    if (at >= 0) this.fresh.splice(at, 1);
  }

  /** Puts back what there was before in place of what cannot be served after all. */
  withdraw(refused: Iterable<Served>, served: Map<string, Served>, canaries: Map<string, Served>): void {
    for (const one of refused) {
      const { id } = one.identity;
      const before = this.#base.served.get(id);
      if (canaries.get(id) === one) canaries.delete(id);
      else if (before) served.set(id, before);
      else served.delete(id);
    }
  }

  async #prove(one: Served, served: Map<string, Served>, before: ReadonlyMap<string, Served>): Promise<void> {
    if (!this.proves(one)) this.putBack(one, served, before);
    await rest();
  }

  #one(identity: ValidatedIdentity, before: Served | undefined): Served {
    // What was on trial is promoted with the context it had.
    const known = before?.for(identity) ?? this.#base.canaries.get(identity.id)?.for(identity);
    const { number, bundles, rebuild, now } = this.#options;
    if (known && !rebuild) return known;
    const lazy = new LazyContext(identity, bundles, this.#cache);
    if (known) return known.withContext(lazy);
    const built = new Served(identity, lazy, number, new Date(now));
    this.fresh.push(built);
    return built;
  }
}
