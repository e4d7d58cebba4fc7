import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { SwivelError } from '../../src/errors.ts';
import { ContextStore } from '../../src/tls/index.ts';
import { bundleOf } from '../certificates/trust/support/bundle.ts';
import { authority, freshIdentity, identityOf, refusedLeaf, serve, storeOf, targetOf } from './support/identities.ts';

const a = await freshIdentity('a');
const renewed = await freshIdentity('a');
const b = await freshIdentity('b');

test('nothing is visible before the commit, and nothing ever is after an abort', async () => {
  const store = new ContextStore({ unknownName: 'default' });
  const seen: number[] = [];
  store.onCommit(({ number }) => seen.push(number));
  const prepared = await store.prepare(targetOf([a]), Date.now());
  assert.equal(store.current.number, 0);
  assert.equal(store.resolve('a.test'), undefined);
  prepared.abort();
  assert.equal(store.current.number, 0);
  await serve(store, a);
  assert.equal(store.current.number, 1);
  assert.equal(store.resolve('a.test')?.identity, a);
  assert.deepEqual(seen, [1]);
});

test('an aborted generation cannot be committed any more', async () => {
  const store = await storeOf([a]);
  const prepared = await store.prepare(targetOf([b]), Date.now());
  prepared.abort();
  assert.throws(() => prepared.commit(), SwivelError);
  assert.equal(store.current.served.get('a')?.identity, a);
});

test('one generation is prepared at a time', async () => {
  const store = await storeOf([a]);
  const prepared = await store.prepare(targetOf([b]), Date.now());
  await assert.rejects(store.prepare(targetOf([renewed]), Date.now()), { code: 'INTERNAL' });
  prepared.commit();
  await serve(store, renewed);
  assert.equal(store.current.number, 3);
});

test('contexts of what did not change are taken over, with their age', async () => {
  const store = await storeOf([a, b]);
  const before = store.current;
  await serve(store, renewed, b);
  assert.equal(store.current.served.get('b'), before.served.get('b'));
  assert.notEqual(store.current.served.get('a')?.context, before.served.get('a')?.context);
  assert.deepEqual([store.current.served.get('a')?.since, store.current.served.get('b')?.since], [2, 1]);
});

test('a change of names alone keeps the context', async () => {
  const store = await storeOf([a]);
  const context = store.current.served.get('a')?.context;
  const retired = await serve(store, { ...a, names: ['other.test'] });
  assert.equal(store.resolve('other.test')?.context, context);
  assert.equal(store.resolve('other.test')?.since, 1);
  assert.equal(retired.size, 0);
});

test('what the TLS library refuses keeps what it has and is reported; the others go on', async () => {
  const store = await storeOf([a, b]);
  const before = store.current.served.get('a');
  const newB = await freshIdentity('b');
  const prepared = await store.prepare(targetOf([identityOf('a', await refusedLeaf(['a.test'])), newB]), Date.now());
  assert.deepEqual(
    prepared.failures.map(({ code, severity, identity, file }) => ({ code, severity, identity, file })),
    [{ code: 'CONTEXT_FAILED', severity: 'error', identity: 'a', file: 'a.crt' }],
  );
  assert.deepEqual(prepared.commit(), new Set([b.fingerprint]));
  assert.equal(store.current.served.get('a'), before);
  assert.equal(store.current.served.get('b')?.identity, newB);
});

test('a commit tells exactly which chains are no longer served', async () => {
  const store = await storeOf([a, b]);
  assert.deepEqual(await serve(store, a, b), new Set());
  assert.deepEqual(await serve(store, renewed, b), new Set([a.fingerprint]));
  assert.deepEqual(await serve(store, renewed), new Set([b.fingerprint]));
  // The same chain under another id is still served.
  assert.deepEqual(await serve(store, { ...renewed, id: 'moved' }), new Set());
  assert.deepEqual(await serve(store), new Set([renewed.fingerprint]));
});

test('the default is the configured one, else the first by id; a configured one that does not exist is reported', async () => {
  assert.equal((await storeOf([b, a])).current.fallback?.identity.id, 'a');
  const chosen = await storeOf([a, b], { defaultCertificate: 'b' });
  assert.equal(chosen.current.fallback?.identity.id, 'b');
  assert.deepEqual(chosen.current.findings, []);
  const unknown = await storeOf([b, a], { defaultCertificate: 'c' });
  assert.equal(unknown.current.fallback?.identity.id, 'a');
  const [found] = unknown.current.findings;
  assert.equal(found?.code, 'DEFAULT_UNKNOWN');
  assert.match(found?.message ?? '', /"c" does not exist; there are: b, a/);
  assert.equal((await storeOf([])).current.fallback, null);
});

test('a name is resolved whatever its case and its trailing dot; an unknown one goes to the default or is rejected', async () => {
  const lenient = await storeOf([a, b]);
  const strict = await storeOf([a, b], { unknownName: 'reject' });
  for (const store of [lenient, strict]) {
    for (const name of ['b.test', 'B.Test', 'b.test.']) assert.equal(store.resolve(name)?.identity.id, 'b', name);
    for (const none of ['', false, undefined] as const) assert.equal(store.resolve(none)?.identity.id, 'a');
  }
  assert.equal(lenient.resolve('c.test')?.identity.id, 'a');
  assert.equal(strict.resolve('c.test'), undefined);
});

test('a canary is given to its share of the handshakes, only where the stable one would be, and to nobody without a name', async () => {
  let drawn = 0;
  const store = new ContextStore({ unknownName: 'default', canaryShare: 0.3 }, () => drawn);
  await serve(store, a, b);
  (await store.prepare(targetOf([a, b], { canaries: [renewed] }), Date.now())).commit();
  const given = (name: string) => store.choose(name)?.identity;
  for (const [random, expected] of [
    [0, renewed],
    [0.299, renewed],
    [0.3, a],
    [0.999, a],
  ] as const) {
    drawn = random;
    assert.equal(given('a.test'), expected);
    assert.equal(given('A.TEST.'), expected);
    // A client that asks for a name nobody has gets the default, and so perhaps its canary.
    assert.equal(given('c.test'), expected);
    assert.equal(given('b.test'), b);
    for (const none of ['', false, undefined] as const) assert.equal(store.resolve(none)?.identity, a);
    assert.equal(store.current.fallback?.identity, a);
  }
});

test('a canary is not given for a name that it lost', async () => {
  const wide = await freshIdentity('a', ['a.test', '*.a.test']);
  const narrow = await freshIdentity('a', ['a.test', 'x.a.test']);
  const store = new ContextStore({ unknownName: 'default', canaryShare: 1 });
  await serve(store, wide);
  (await store.prepare(targetOf([wide], { canaries: [narrow] }), Date.now())).commit();
  const given = (name: string) => store.choose(name)?.identity;
  assert.deepEqual([given('a.test'), given('x.a.test'), given('y.a.test')], [narrow, narrow, wide]);
});

test('a promoted canary keeps the context it had, and what it replaces is retired then, not before', async () => {
  const store = new ContextStore({ unknownName: 'default', canaryShare: 0.5 });
  await serve(store, a);
  const commit = async (...parts: Parameters<typeof targetOf>) =>
    (await store.prepare(targetOf(...parts), Date.now())).commit();
  assert.deepEqual(await commit([a], { canaries: [renewed] }), new Set());
  assert.deepEqual(new Set(store.current.fingerprints.keys()), new Set([a.fingerprint, renewed.fingerprint]));
  const context = store.current.canaries.get('a')?.context;
  assert.deepEqual(await commit([renewed]), new Set([a.fingerprint]));
  assert.equal(store.current.served.get('a')?.context, context);
  assert.deepEqual(await commit([renewed], { canaries: [a] }), new Set());
  assert.deepEqual(await commit([renewed]), new Set([a.fingerprint]));
});

test('ticket keys are those of the committed generation, and random ones before the first', async () => {
  const bundle = bundleOf((await authority()).certificatePem);
  const store = new ContextStore({ unknownName: 'default' });
  assert.equal(store.ticketKeys.length, 48);
  assert.notDeepEqual(store.ticketKeys, new ContextStore({ unknownName: 'default' }).ticketKeys);
  const [first, second] = [randomBytes(48), randomBytes(48)];
  const seen: Buffer[] = [];
  store.onCommit(() => seen.push(store.ticketKeys));
  (await store.prepare(targetOf([a], { bundles: [bundle], ticketKeys: first }), Date.now())).commit();
  const { context, since } = store.current.served.get('a') ?? {};
  const prepared = await store.prepare(targetOf([a], { ticketKeys: second }), Date.now());
  assert.deepEqual(store.ticketKeys, first);
  prepared.abort();
  assert.deepEqual(store.ticketKeys, first);
  (await store.prepare(targetOf([a], { ticketKeys: second }), Date.now())).commit();
  // Listeners are told in the commit, and take the new ones then.
  assert.deepEqual(seen, [first, second]);
  // Every context holds the authorities.
  assert.notEqual(store.current.served.get('a')?.context, context);
  assert.equal(store.current.served.get('a')?.since, since);
});

test('a generation has the number that it is given, else the next one', async () => {
  const store = new ContextStore({ unknownName: 'default' });
  (await store.prepare(targetOf([a], { number: 7 }), Date.now())).commit();
  assert.deepEqual([store.current.number, store.current.served.get('a')?.since], [7, 7]);
  await serve(store, a, b);
  assert.deepEqual([store.current.number, store.current.served.get('b')?.since], [8, 8]);
});
