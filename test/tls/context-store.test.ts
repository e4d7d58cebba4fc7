import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SwivelError } from '../../src/errors.ts';
import { ContextStore } from '../../src/tls/index.ts';
import { freshIdentity, identityOf, refusedLeaf, serve, storeOf, targetOf } from './support/identities.ts';

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
