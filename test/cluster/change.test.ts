import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { deserialize, serialize } from 'node:v8';
import fc from 'fast-check';
import { Secret, type TrustBundle, type ValidatedIdentity, validateBundle } from '../../src/certificates/index.ts';
import {
  applyChange,
  type Change,
  type Contents,
  changeBetween,
  type Delivery,
  deliveriesBetween,
} from '../../src/cluster/index.ts';
import { type Authority, createAuthority } from '../support/pki.ts';
import { identityOf } from '../tls/support/identities.ts';

const ids = ['a', 'b', 'c', 'd'];
const authority = await createAuthority();
const leaves = await authority.issueMany(ids.flatMap((id) => [0, 1, 2].map(() => ({ names: [`${id}.test`] }))));
const identities = leaves.map((leaf, i) => identityOf(ids[Math.floor(i / 3)] ?? '', leaf));
const other = await createAuthority();
const crl = await authority.crl([]);
const bundles = [
  bundleOf('clients', [authority]),
  bundleOf('clients', [authority, other], crl),
  bundleOf('partners', [other]),
  bundleOf('partners', [authority]),
];

function bundleOf(id: string, authorities: readonly Authority[], ...more: readonly string[]): TrustBundle {
  const texts = [...authorities.map(({ certificatePem }) => certificatePem), ...more];
  const files = texts.map((text, i) => ({ path: `${id}/${i}.pem`, bytes: Buffer.from(text) }));
  const { bundle, findings } = validateBundle({ id, source: 'test', files });
  if (!bundle) throw new Error(JSON.stringify(findings));
  return bundle;
}

const entry = (identity: ValidatedIdentity) => ({ identity, context: {}, since: 1, activatedAt: new Date() }) as never;

function contents(number: number, served: readonly ValidatedIdentity[], more: Partial<Contents> = {}): Contents {
  const map = (some: readonly ValidatedIdentity[]) => new Map(some.map((one) => [one.id, entry(one)]));
  return { number, served: map(served), canaries: new Map(), bundles: new Map(), ...more };
}

/** A version of each of the ids, or none. */
const some = fc
  .tuple(...ids.map((_, i) => fc.option(fc.nat(2).map((version) => identities[i * 3 + version]))))
  .map((all) => all.filter((one) => one !== null && one !== undefined));

const generation = fc
  .record({
    number: fc.integer({ min: 1, max: 1000 }),
    served: some,
    canaries: some,
    bundles: fc.subarray(bundles),
  })
  .map(({ number, served, canaries, bundles: chosen }) =>
    contents(number, served, {
      canaries: contents(0, canaries).served,
      bundles: new Map(chosen.map((bundle) => [bundle.id, bundle])),
    }),
  );

/** As the channel between processes carries it. */
const travel = <T>(value: T): T => deserialize(serialize(value)) as T;

function sent(before: Contents | null, after: Contents, ticketKeys = Buffer.alloc(48)) {
  const parcels = [...deliveriesBetween(before, after)].map(travel);
  return { parcels, change: travel(changeBetween(before, after, ticketKeys, 7)) };
}

const named = (of: Contents['served']) => new Map([...of].map(([id, { identity }]) => [id, facts(identity)]));
const facts = ({ keyPem, ...rest }: ValidatedIdentity) => ({ ...rest, key: keyPem.reveal() });

test('what leads from one generation to the next makes exactly the next of the one', () => {
  fc.assert(
    fc.property(fc.option(generation), generation, (before, after) => {
      const ticketKeys = randomBytes(48);
      const { parcels, change } = sent(before, after, ticketKeys);
      // What a worker has at the time when it is told to start from nothing is of no account.
      const current = before ?? contents(99, identities.slice(0, 1));
      const target = applyChange(current, change, parcels.flat());
      assert.deepEqual(new Map(target.identities.map((one) => [one.id, facts(one)])), named(after.served));
      assert.deepEqual(new Map(target.canaries.map((one) => [one.id, facts(one)])), named(after.canaries));
      assert.deepEqual(
        new Map(target.bundles.map(({ id, fingerprint }) => [id, fingerprint])),
        new Map([...after.bundles].map(([id, { fingerprint }]) => [id, fingerprint])),
      );
      assert.deepEqual(target.ticketKeys, ticketKeys);
      assert.ok(Buffer.isBuffer(target.ticketKeys));
      assert.equal(target.number, after.number);
    }),
  );
});

test('what did not change does not travel, and stays the very object it was', () => {
  fc.assert(
    fc.property(generation, generation, (before, after) => {
      const { parcels, change } = sent(before, after);
      const changed = (role: 'served' | 'canaries') =>
        [...after[role]].filter(([id, { identity }]) => before[role].get(id)?.identity !== identity).length;
      assert.equal(parcels.flat().length, changed('served') + changed('canaries'));
      const target = applyChange(before, change, parcels.flat());
      for (const identity of target.identities) {
        if (before.served.get(identity.id)?.identity !== after.served.get(identity.id)?.identity) continue;
        assert.equal(identity, before.served.get(identity.id)?.identity);
      }
      for (const bundle of target.bundles) {
        if (before.bundles.get(bundle.id) === after.bundles.get(bundle.id)) {
          assert.equal(bundle, before.bundles.get(bundle.id));
        }
      }
    }),
  );
});

test('a generation that is the same but for its number and its keys takes no parcel', () => {
  const [a, b] = identities;
  assert.ok(a && b);
  const { parcels, change } = sent(contents(1, [a]), contents(2, [a]), Buffer.alloc(48, 9));
  assert.deepEqual(parcels, []);
  assert.deepEqual([change.base, change.number, change.removed, change.bundles], [1, 2, [], []]);
  assert.deepEqual(applyChange(contents(1, [a]), change, []).identities, [a]);
});

test('thousands of identities travel in parcels of a bounded size', () => {
  const [a] = identities;
  assert.ok(a);
  const many = contents(
    1,
    Array.from({ length: 1000 }, (_, i) => ({ ...a, id: `a${i}` })),
  );
  const parcels = [...deliveriesBetween(null, many)];
  assert.equal(parcels.flat().length, 1000);
  for (const parcel of parcels) assert.ok(parcel.length > 0 && serialize(parcel).length < 1_000_000);
  assert.ok(parcels.length > 1);
});

test('a change that starts from another generation is refused', () => {
  const [a, , b] = identities;
  assert.ok(a && b);
  const { parcels, change } = sent(contents(3, [a]), contents(4, [b]));
  assert.throws(() => applyChange(contents(2, [a]), change, parcels.flat()), {
    code: 'INTERNAL',
    message: 'the change starts from generation 3, not from 2',
  });
});

test('a key arrives as one that cannot come out by accident, and fits its certificate', () => {
  const [a] = identities;
  assert.ok(a);
  const { parcels, change } = sent(null, contents(1, [a]));
  const [received] = applyChange(contents(0, []), change, parcels.flat()).identities;
  assert.ok(received);
  assert.ok(received.keyPem instanceof Secret);
  assert.equal(received.keyPem.reveal(), a.keyPem.reveal());
  for (const shown of [inspect(received, { depth: 9 }), JSON.stringify(received), String(received.keyPem)]) {
    assert.doesNotMatch(shown, /PRIVATE/);
  }
  assert.ok(Object.isFrozen(received));
});

test('a trust bundle is checked again where it arrives: one that is not whole is refused', () => {
  const after = contents(1, [], { bundles: new Map([['clients', bundles[1] as TrustBundle]]) });
  const { change } = sent(null, after);
  const [bundle] = applyChange(contents(0, []), change, []).bundles;
  assert.deepEqual([bundle?.authorityCount, bundle?.crlCount], [2, 1]);
  assert.equal(bundle?.fingerprint, bundles[1]?.fingerprint);
  const [material] = change.bundles;
  assert.ok(material);
  const torn = material.files.map(({ path, bytes }) => ({ path, bytes: bytes.subarray(0, 100) }));
  const damaged: Change = { ...change, bundles: [{ ...material, files: torn }] };
  assert.throws(() => applyChange(contents(0, []), damaged, []), {
    code: 'INTERNAL',
    message: /trust bundle clients did not arrive whole/,
  });
});

test('everything that travels is plain data', () => {
  const [a] = identities;
  assert.ok(a);
  const after = contents(1, [a], { bundles: new Map(bundles.map((bundle) => [bundle.id, bundle])) });
  const all: unknown[] = [changeBetween(null, after, Buffer.alloc(48), 0), ...deliveriesBetween(null, after)];
  assert.deepEqual(travel(all), all);
  const [[delivery]] = all.slice(1) as [[Delivery]];
  assert.deepEqual(Object.keys(delivery).sort(), ['identity', 'role']);
});
