/** Entries from which on a map is not copied for each change; below, nothing that was replaced is kept in memory. */
const largeSize = 1000;
/** Changes that are looked up beside a map, at most; beyond, they are written into a copy of it. */
const layerLimit = 64;

/**
 * An unchangeable map that holds what it differs in from another one: of thousands of entries, changing one costs work for one. Entries that
 * were replaced keep their place in the order.
 */
export class LayeredMap<T extends object | number> implements ReadonlyMap<string, T> {
  readonly #base: ReadonlyMap<string, T>;
  /** Null: nothing any more. */
  readonly #changes: ReadonlyMap<string, T | null>;
  readonly size: number;

  private constructor(base: ReadonlyMap<string, T>, changes: ReadonlyMap<string, T | null>) {
    this.#base = base;
    this.#changes = changes;
    let { size } = base;
    for (const [key, value] of changes) size += Number(value !== null) - Number(base.has(key));
    this.size = size;
  }

  /**
   * A map with changes. The map must not be changed afterwards.
   * @param changes what there is now under a key; null: nothing any more
   */
  static over<T extends object | number>(
    map: ReadonlyMap<string, T>,
    changes: ReadonlyMap<string, T | null>,
  ): ReadonlyMap<string, T> {
    if (changes.size === 0) return map;
    const layered = map instanceof LayeredMap ? (map as LayeredMap<T>) : null;
    const base = layered ? layered.#base : map;
    if (base.size >= largeSize && changes.size + (layered ? layered.#changes.size : 0) <= layerLimit) {
      return new LayeredMap(base, new Map([...(layered ? layered.#changes : []), ...changes]));
    }
    const flat = new Map(map);
    for (const [key, value] of changes) {
      if (value === null) flat.delete(key);
      else flat.set(key, value);
    }
    return flat;
  }

  /**
   * The keys under which two maps differ, by identity of the values.
   * @returns null when it takes a look at all of them to tell
   */
  static differences<T extends object | number>(
    a: ReadonlyMap<string, T>,
    b: ReadonlyMap<string, T>,
  ): ReadonlySet<string> | null {
    const differing = new Set<string>();
    if (a === b) return differing;
    if (LayeredMap.#baseOf(a) !== LayeredMap.#baseOf(b)) return null;
    for (const map of [a, b]) {
      if (!(map instanceof LayeredMap)) continue;
      for (const key of (map as LayeredMap<T>).#changes.keys()) if (a.get(key) !== b.get(key)) differing.add(key);
    }
    return differing;
  }

  /** The map below the changes; one that has no changes is its own. */
  static #baseOf<T extends object | number>(map: ReadonlyMap<string, T>): ReadonlyMap<string, T> {
    return map instanceof LayeredMap ? (map.#base as ReadonlyMap<string, T>) : map;
  }

  get(key: string): T | undefined {
    const change = this.#changes.get(key);
    return change === undefined ? this.#base.get(key) : (change ?? undefined);
  }

  has(key: string): boolean {
    return this.get(key) !== undefined;
  }

  *entries(): MapIterator<[string, T]> {
    for (const entry of this.#base) {
      const change = this.#changes.get(entry[0]);
      if (change === undefined) yield entry;
      else if (change !== null) yield [entry[0], change];
    }
    for (const [key, value] of this.#changes) if (value !== null && !this.#base.has(key)) yield [key, value];
  }

  *keys(): MapIterator<string> {
    for (const [key] of this.entries()) yield key;
  }

  *values(): MapIterator<T> {
    for (const [, value] of this.entries()) yield value;
  }

  [Symbol.iterator](): MapIterator<[string, T]> {
    return this.entries();
  }

  forEach(callback: (value: T, key: string, map: ReadonlyMap<string, T>) => void): void {
    for (const [key, value] of this.entries()) callback(value, key, this);
  }
}
