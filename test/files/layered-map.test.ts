import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { LayeredMap } from '../../src/files/index.ts';

const key = fc.integer({ min: 0, max: 99 }).map((n) => `k${n}`);
const value = fc.integer({ min: 1, max: 5 });
const changes = fc.uniqueArray(fc.tuple(key, fc.option(value)), { selector: ([k]) => k, maxLength: 30 });

const filling = Array.from({ length: 1000 }, (_, n) => [`f${n}`, n + 10] as const);
/** Small ones are copied, large ones layered. */
const first = fc
  .tuple(fc.array(fc.tuple(key, value)), fc.boolean())
  .map(([some, isLarge]) => new Map<string, number>([...(isLarge ? filling : []), ...some]));

function applied(map: ReadonlyMap<string, number>, change: readonly (readonly [string, number | null])[]) {
  const next = new Map(map);
  for (const [k, v] of change) {
    if (v === null) next.delete(k);
    else next.set(k, v);
  }
  return next;
}

test('a layered map holds what a changed copy of the map would, through any number of changes', () => {
  fc.assert(
    fc.property(first, fc.array(changes, { maxLength: 12 }), (start, steps) => {
      let expected = new Map(start);
      let layered: ReadonlyMap<string, number> = new Map(start);
      for (const step of steps) {
        const before = layered;
        const had = new Map(before);
        expected = applied(expected, step);
        layered = LayeredMap.over(layered, new Map(step));
        assert.deepEqual(new Map(layered), expected);
        assert.deepEqual(new Map(before), had, 'the one before is untouched');
        assert.equal(layered.size, expected.size);
        assert.deepEqual(new Set(layered.keys()), new Set(expected.keys()));
        assert.equal([...layered.values()].length, expected.size);
        for (let n = 0; n < 100; n += 1) {
          assert.equal(layered.get(`k${n}`), expected.get(`k${n}`));
          assert.equal(layered.has(`k${n}`), expected.has(`k${n}`));
        }
      }
    }),
    { numRuns: 50 },
  );
});

test('it tells exactly the keys that differ, or that it does not know', () => {
  fc.assert(
    fc.property(first, fc.array(changes, { maxLength: 6 }), (start, steps) => {
      const all: ReadonlyMap<string, number>[] = [new Map(start)];
      for (const step of steps) all.push(LayeredMap.over(all.at(-1) as ReadonlyMap<string, number>, new Map(step)));
      for (const a of all) {
        for (const b of all) {
          const told = LayeredMap.differences(a, b);
          const real = [...new Set([...a.keys(), ...b.keys()])].filter((k) => a.get(k) !== b.get(k));
          if (told) assert.deepEqual([...told].sort(), real.sort());
        }
      }
    }),
    { numRuns: 50 },
  );
});

test('a few changes are known one by one, of a map of thousands as of a small one', () => {
  const base = new Map(Array.from({ length: 5000 }, (_, n) => [`n${n}`, n + 1]));
  let map: ReadonlyMap<string, number> = base;
  for (let n = 0; n < 64; n += 1) {
    const next = LayeredMap.over(map, new Map([[`n${n}`, 7000]]));
    assert.deepEqual(LayeredMap.differences(map, next), new Set([`n${n}`]));
    map = next;
  }
  assert.equal(LayeredMap.differences(map, LayeredMap.over(map, new Map([['n999', 1]]))), null);
});

test('a small one keeps nothing of what was replaced', () => {
  const map = LayeredMap.over(new Map([['a', 1]]), new Map([['a', 2]]));
  assert.deepEqual(map, new Map([['a', 2]]));
});
