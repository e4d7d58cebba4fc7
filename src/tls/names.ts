import { type ValidatedIdentity, validityOf } from '../certificates/index.ts';
import { type Finding, finding } from '../errors.ts';
import { LayeredMap } from '../files/index.ts';

/** From names to identities. Wildcards are kept by the part after `*`. */
export interface NameIndex<T> {
  readonly exact: ReadonlyMap<string, T>;
  readonly wildcard: ReadonlyMap<string, T>;
  /** Identities that lost a name to another one. */
  readonly shadowed: readonly Finding[];
}

/**
 * Indexes identities by name. Of several for one name the best valid one is taken: unexpired before expired, then the newest
 * `notBefore`, then the id, so that the order on disk never matters. Pure.
 * @param now milliseconds since 1970
 */
export function buildNameIndex<T extends { readonly identity: ValidatedIdentity }>(
  entries: Iterable<T>,
  now: number,
): NameIndex<T> {
  const exact = new Map<string, T>();
  const wildcard = new Map<string, T>();
  // Those that want a name which another one wants as well: with thousands, ranking all of them would be felt.
  const rivals = new Map<string, T[]>();
  for (const entry of entries) {
    for (const name of entry.identity.names) {
      const [map, key] = name.startsWith('*.') ? [wildcard, name.slice(1)] : [exact, name];
      const other = map.get(key);
      if (!other) map.set(key, entry);
      else rivals.set(name, [...(rivals.get(name) ?? [other]), entry]);
    }
  }
  const shadowed: Shadowing[] = [];
  for (const [name, some] of rivals) {
    const [winner, ...losers] = some
      .map(({ identity }, at) => ({ identity, at }))
      .sort((a, b) => rank(a.identity, b.identity, now));
    if (!winner) continue;
    const [map, key] = name.startsWith('*.') ? [wildcard, name.slice(1)] : [exact, name];
    map.set(key, some[winner.at] as T);
    for (const { identity } of losers) shadowed.push({ name, loser: identity, winner: winner.identity });
  }
  shadowed.sort((a, b) => rank(a.loser, b.loser, now));
  return { exact, wildcard, shadowed: shadowed.map(shadowing) };
}

/**
 * The index after some entries were exchanged for others.
 * @param exchanged what was indexed, and what stands in its place
 * @returns null when it has to be built: there are, or may be, several for one name, and which is the best may depend on the time
 */
export function amendNameIndex<T extends { readonly identity: ValidatedIdentity }>(
  index: NameIndex<T>,
  exchanged: readonly (readonly [T, T])[],
): NameIndex<T> | null {
  if (index.shadowed.length > 0) return null;
  if (exchanged.some(([{ identity: a }, { identity: b }]) => a.names.join() !== b.names.join())) return null;
  if (exchanged.length === 0) return index;
  const exact = new Map<string, T>();
  const wildcard = new Map<string, T>();
  for (const [, entry] of exchanged) {
    for (const name of entry.identity.names) {
      if (name.startsWith('*.')) wildcard.set(name.slice(1), entry);
      else exact.set(name, entry);
    }
  }
  return {
    exact: LayeredMap.over(index.exact, exact),
    wildcard: LayeredMap.over(index.wildcard, wildcard),
    shadowed: [],
  };
}

interface Shadowing {
  readonly name: string;
  readonly loser: ValidatedIdentity;
  readonly winner: ValidatedIdentity;
}

function rank(a: ValidatedIdentity, b: ValidatedIdentity, now: number): number {
  const usable = (identity: ValidatedIdentity) => (validityOf(identity.leaf, now) === 'valid' ? 0 : 1);
  return usable(a) - usable(b) || b.leaf.notBefore - a.leaf.notBefore || (a.id < b.id ? -1 : 1);
}

function shadowing({ name, loser, winner }: Shadowing): Finding {
  return finding('NAME_SHADOWED', 'warning', {
    identity: loser.id,
    file: loser.files.certificate,
    message: `${name} is served by ${winner.id} (${winner.files.certificate})`,
  });
}

/**
 * Finds who serves a name: exact, then a wildcard for exactly one label (RFC 9525 §6.3).
 * @param host lower case, without trailing dot
 */
export function lookUp<T>(index: NameIndex<T>, host: string): T | undefined {
  const exact = index.exact.get(host);
  if (exact !== undefined) return exact;
  const dot = host.indexOf('.');
  return dot > 0 ? index.wildcard.get(host.slice(dot)) : undefined;
}
