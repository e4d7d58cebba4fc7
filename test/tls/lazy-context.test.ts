import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ValidatedIdentity } from '../../src/certificates/index.ts';
import { ContextStore, type Refusal } from '../../src/tls/index.ts';
import { ContextCache, LazyContext } from '../../src/tls/lazy-context.ts';
import { bounded } from '../support/swivel.ts';
import { freshIdentity, identityOf, refusedLeaf, serve, storeOf } from './support/identities.ts';
import { listening, refusal, visit } from './support/listening.ts';

const a = await freshIdentity('a');
const b = await freshIdentity('b');
const c = await freshIdentity('c');
const refused = identityOf('refused', await refusedLeaf(['refused.test']));

/** More than are built before they are committed. */
function many(...more: readonly ValidatedIdentity[]): ValidatedIdentity[] {
  const filling = Array.from({ length: 120 }, (_, i) => ({ ...a, id: `many-${i}`, names: [`${i}.many.test`] }));
  return [a, ...filling, ...more];
}

test('a context is built when it is used first, and the same one is given until others were used more recently', () => {
  const cache = new ContextCache(2);
  const [one, two, three] = [a, b, c].map((identity) => new LazyContext(identity, new Map(), cache)) as [
    LazyContext,
    LazyContext,
    LazyContext,
  ];
  assert.equal(one.isBuilt, false);
  const first = one.use();
  two.use();
  assert.equal(one.use(), first);
  three.use();
  assert.deepEqual(
    [one, two, three].map(({ isBuilt }) => isBuilt),
    [true, false, true],
  );
  assert.equal(one.use(), first);
  assert.notEqual(two.use(), undefined);
  assert.equal(cache.size, 2);
});

test('what is not served any more is forgotten, and what is stays built', () => {
  const cache = new ContextCache();
  const [gone, kept] = [a, b].map((identity) => new LazyContext(identity, new Map(), cache)) as [
    LazyContext,
    LazyContext,
  ];
  const former = gone.use();
  const context = kept.use();
  cache.keep((one) => one === kept);
  assert.deepEqual([gone.isBuilt, kept.isBuilt, cache.size], [false, true, 1]);
  assert.equal(kept.use(), context);
  assert.notEqual(gone.use(), former);
});

test('of many that are new none is built but the default, until a client wants it', bounded, async (t) => {
  const store = await storeOf(many(b));
  const built = () =>
    [...store.current.served.values()].filter((one) => 'lazy' in one && (one.lazy as LazyContext).isBuilt);
  assert.deepEqual(
    built().map(({ identity }) => identity.id),
    ['a'],
  );
  const { port } = await listening(t, store);
  for (let i = 0; i < 2; i += 1) {
    assert.equal((await visit(t, { port, servername: 'b.test' })).shown, b.leaf.fingerprint256);
    assert.deepEqual(
      built()
        .map(({ identity }) => identity.id)
        .sort(),
      ['a', 'b'],
    );
  }
});

test('one that was given up for others is built again for the next client', bounded, async (t) => {
  const store = await storeOf([a, b, c], { contextsKept: 1 });
  const { port } = await listening(t, store);
  for (const identity of [a, b, c, a, b, c, a]) {
    const { shown } = await visit(t, { port, servername: `${identity.id}.test` });
    assert.equal(shown, identity.leaf.fingerprint256);
  }
});

test('what is to replace something is built before it may, however many there are', bounded, async () => {
  const store = await storeOf(many({ ...b, id: 'refused' }));
  const next = many(refused).map((one) => (one.id.startsWith('many-') ? { ...c, id: one.id, names: one.names } : one));
  const prepared = await store.prepare(
    { identities: next, canaries: [], bundles: [], ticketKeys: store.ticketKeys },
    Date.now(),
  );
  assert.deepEqual(
    prepared.failures.map(({ code, identity }) => [code, identity]),
    [['CONTEXT_FAILED', 'refused']],
  );
  prepared.commit();
  assert.equal(store.current.served.get('refused')?.identity.fingerprint, b.fingerprint);
});

test('the default of many is built before the commit: one that cannot be is not served', bounded, async () => {
  const store = new ContextStore({ unknownName: 'default' });
  const first = { ...refused, id: '0-first' };
  const prepared = await store.prepare(
    { identities: [first, ...many()], canaries: [], bundles: [], ticketKeys: store.ticketKeys },
    Date.now(),
  );
  assert.deepEqual(
    prepared.failures.map(({ code, identity }) => [code, identity]),
    [['CONTEXT_FAILED', '0-first']],
  );
  prepared.commit();
  assert.equal(store.current.fallback?.identity.id, 'a');
});

for (const unknownName of ['default', 'reject'] as const) {
  test(
    `one of many that cannot be built when a client wants it is told once, and handled as unknown (${unknownName})`,
    bounded,
    async (t) => {
      const store = await storeOf(many(refused), { unknownName });
      const told: Refusal[] = [];
      store.onRefused((one) => told.push(one));
      const { port } = await listening(t, store);
      for (let i = 0; i < 2; i += 1) {
        if (unknownName === 'reject')
          assert.match(await refusal({ port, servername: 'refused.test' }), /unrecognized.name/i);
        else assert.equal((await visit(t, { port, servername: 'refused.test' })).shown, a.leaf.fingerprint256);
      }
      assert.deepEqual(
        told.map(({ id, fingerprint, finding }) => [id, fingerprint, finding.code]),
        [['refused', refused.fingerprint, 'CONTEXT_FAILED']],
      );
      assert.equal((await visit(t, { port, servername: 'a.test' })).shown, a.leaf.fingerprint256);
    },
  );
}

test('one exchanged among many keeps the others as they are, and the names lead to the new one', async () => {
  const store = await storeOf(many(b));
  const before = store.current;
  const renewed = await freshIdentity('b');
  const retired = await serve(
    store,
    ...many(renewed)
      .map((one) => before.served.get(one.id)?.identity ?? one)
      .filter(({ id }) => id !== 'b'),
    renewed,
  );
  assert.deepEqual(retired, new Set([b.fingerprint]));
  assert.equal(store.resolve('b.test')?.identity, renewed);
  for (const [id, served] of before.served) if (id !== 'b') assert.equal(store.current.served.get(id), served);
  assert.deepEqual(new Set(store.current.fingerprints.keys()), new Set([a.fingerprint, renewed.fingerprint]));
});
