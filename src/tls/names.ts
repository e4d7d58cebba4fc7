import { type ValidatedIdentity, validityOf } from '../certificates/index.ts';
import { type Finding, finding } from '../errors.ts';

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
  const shadowed: Finding[] = [];
  for (const entry of [...entries].sort((a, b) => rank(a.identity, b.identity, now))) {
    for (const name of entry.identity.names) {
      const [map, key] = name.startsWith('*.') ? [wildcard, name.slice(1)] : [exact, name];
      const winner = map.get(key);
      if (!winner) map.set(key, entry);
      else shadowed.push(shadowing(name, entry.identity, winner.identity));
    }
  }
  return { exact, wildcard, shadowed };
}

function rank(a: ValidatedIdentity, b: ValidatedIdentity, now: number): number {
  const usable = (identity: ValidatedIdentity) => (validityOf(identity.leaf, now) === 'valid' ? 0 : 1);
  return usable(a) - usable(b) || b.leaf.notBefore - a.leaf.notBefore || (a.id < b.id ? -1 : 1);
}

function shadowing(name: string, loser: ValidatedIdentity, winner: ValidatedIdentity): Finding {
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
