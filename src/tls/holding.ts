import type { ValidatedIdentity } from '../certificates/index.ts';
import { LayeredMap } from '../files/index.ts';
import type { Served } from './contexts.ts';
import type { Generation } from './generation.ts';
import type { NameIndex } from './names.ts';

/** A generation as it is held here. */
export interface Holding extends Generation {
  readonly served: ReadonlyMap<string, Served>;
  readonly canaries: ReadonlyMap<string, Served>;
  readonly index: NameIndex<Served>;
  readonly fallback: Served | null;
  /** What it was made of, in that order; null when not all of that could be served. */
  readonly madeOf: readonly ValidatedIdentity[] | null;
  /** The chains that the one before it served, and it does not. */
  readonly retires: ReadonlySet<string>;
}

/** The first id in order. */
export function firstOf(ids: Iterable<string>): string | undefined {
  let first: string | undefined;
  for (const id of ids) if (first === undefined || id < first) first = id;
  return first;
}

/** What was exchanged, where nothing came or went; null otherwise. */
export function exchangedIn(
  before: ReadonlyMap<string, Served>,
  after: ReadonlyMap<string, Served>,
): readonly (readonly [Served, Served])[] | null {
  if (before.size !== after.size) return null;
  const exchanged: [Served, Served][] = [];
  for (const id of LayeredMap.differences(before, after) ?? after.keys()) {
    const known = before.get(id);
    const one = after.get(id);
    if (!known || !one) return null;
    if (known !== one) exchanged.push([known, one]);
  }
  return exchanged;
}

/**
 * What stands in the place of something else under the same id, of two lists in the same order. Of thousands the very same ones are passed
 * over without a look at them.
 * @param before null: not known
 * @returns null when more differs
 */
export function exchangedFor<T extends { readonly id: string }>(
  before: readonly T[] | null,
  after: readonly T[],
): readonly T[] | null {
  if (before?.length !== after.length) return null;
  const exchanged: T[] = [];
  for (let i = 0; i < after.length; i += 1) {
    const [known, one] = [before[i], after[i]];
    if (known === one) continue;
    if (!one || known?.id !== one.id) return null;
    exchanged.push(one);
  }
  return exchanged;
}

type Chains = Pick<Holding, 'fingerprints' | 'retires'>;

/**
 * The chains that a generation serves, and those that it retires.
 * @param before the one that it follows
 * @param exchanged what differs in what is served; null when more does
 */
export function chainsOf(
  before: Holding,
  after: Pick<Holding, 'served' | 'canaries'>,
  exchanged: readonly (readonly [Served, Served])[] | null,
): Chains {
  const onlyServed = before.canaries.size + after.canaries.size === 0;
  const fingerprints = exchanged && onlyServed ? recounted(before.fingerprints, exchanged) : counted(after);
  const retires = new Set<string>();
  for (const { identity } of before.canaries.values()) retires.add(identity.fingerprint);
  for (const { identity } of exchanged ? exchanged.map(([known]) => known) : before.served.values()) {
    retires.add(identity.fingerprint);
  }
  for (const fingerprint of retires) if (fingerprints.has(fingerprint)) retires.delete(fingerprint);
  return { fingerprints, retires };
}

function counted({ served, canaries }: Pick<Holding, 'served' | 'canaries'>): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const part of [served, canaries]) {
    for (const { identity } of part.values()) {
      counts.set(identity.fingerprint, (counts.get(identity.fingerprint) ?? 0) + 1);
    }
  }
  return counts;
}

function recounted(
  before: ReadonlyMap<string, number>,
  exchanged: readonly (readonly [Served, Served])[],
): ReadonlyMap<string, number> {
  const changes = new Map<string, number | null>();
  const add = ({ identity: { fingerprint } }: Served, step: 1 | -1) => {
    const count = (changes.get(fingerprint) ?? (changes.has(fingerprint) ? 0 : (before.get(fingerprint) ?? 0))) + step;
    changes.set(fingerprint, count === 0 ? null : count);
  };
  for (const [known, one] of exchanged) {
    add(known, -1);
    add(one, 1);
  }
  return LayeredMap.over(before, changes);
}
