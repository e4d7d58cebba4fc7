import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Contents, changeBetween, deliveriesBetween } from '../../src/cluster/index.ts';
import { LayeredMap } from '../../src/files/index.ts';
import type { ServedIdentity } from '../../src/tls/index.ts';
import { freshIdentity } from '../tls/support/identities.ts';

type Served = ReadonlyMap<string, ServedIdentity>;

const template = await freshIdentity('a');
/** So many that a change of a few makes a layer, not a copy. */
const count = 1000;

let made = 0;

/** Each is another one. */
function entry(id: string): ServedIdentity {
  made += 1;
  return {
    identity: { ...template, id, fingerprint: `${made}` },
    context: {},
    since: 1,
    activatedAt: new Date(),
  } as unknown as ServedIdentity;
}

/** Of the same identity, as after it was built anew. */
const rebuilt = (served: ServedIdentity): ServedIdentity => ({ ...served });

const all = Array.from({ length: count }, (_, i) => [`s${i}`, entry(`s${i}`)] as const);

const edit = fc.record({
  id: fc.oneof(fc.nat(9), fc.integer({ min: count, max: count + 9 })).map((n) => `s${n}`),
  what: fc.constantFrom('replace', 'rebuild', 'remove'),
});

function applied(map: Served, edits: readonly { readonly id: string; readonly what: string }[]): Served {
  const changes = new Map<string, ServedIdentity | null>();
  for (const { id, what } of edits) {
    const known = map.get(id);
    if (what === 'remove') changes.set(id, null);
    else changes.set(id, what === 'rebuild' && known ? rebuilt(known) : entry(id));
  }
  return LayeredMap.over(map, changes);
}

function contents(number: number, served: Served, canaries: Served): Contents {
  return { number, served, canaries, bundles: new Map() };
}

/** All that travels, in an order of its own: who is told apart by an id has no place. */
function sent(before: Contents, after: Contents) {
  const { removed, canariesRemoved, ...rest } = changeBetween(before, after, Buffer.alloc(48), 7);
  const deliveries = [...deliveriesBetween(before, after)].flat();
  const named = deliveries.map((delivery) => [`${delivery.role} ${delivery.identity.facts.id}`, delivery] as const);
  return {
    ...rest,
    removed: removed.toSorted(),
    canariesRemoved: canariesRemoved.toSorted(),
    deliveries: named.toSorted(([a], [b]) => (a < b ? -1 : 1)),
  };
}

test('of thousands the same travels whether or not it is known what may differ', () => {
  const edits = fc.array(edit, { maxLength: 12 });
  fc.assert(
    fc.property(fc.array(fc.tuple(edits, edits), { maxLength: 4 }), (steps) => {
      const generations = [contents(1, new Map(all), new Map(all))];
      for (const [forServed, forCanaries] of steps) {
        const { number, served, canaries } = generations.at(-1) as Contents;
        generations.push(contents(number + 1, applied(served, forServed), applied(canaries, forCanaries)));
      }
      for (const before of generations) {
        for (const after of generations) {
          const flat = (one: Contents) => contents(one.number, new Map(one.served), new Map(one.canaries));
          assert.deepEqual(sent(before, after), sent(flat(before), flat(after)));
        }
      }
    }),
    { numRuns: 30 },
  );
});

test('where it is known what may differ, nobody passes over all of them', () => {
  const walked = () => assert.fail('passed over all');
  const base = Object.assign(new Map(all), { keys: walked, values: walked, entries: walked, forEach: walked });
  Object.assign(base, { [Symbol.iterator]: walked });
  const before = contents(1, applied(base, [{ id: 's1', what: 'replace' }]), new Map());
  const after = contents(2, applied(before.served, [{ id: 's2', what: 'replace' }]), new Map());
  const back = contents(3, base, new Map());
  assert.deepEqual(
    [sent(before, after), sent(after, back)].map(({ deliveries }) => deliveries.map(([name]) => name)),
    [['served s2'], ['served s1', 'served s2']],
  );
});
