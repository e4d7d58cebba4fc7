import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bounded, eventually, metricOf, settle } from '../support/swivel.ts';
import { authority, hour } from '../tls/support/identities.ts';
import { rotation, watching } from './support/rotation.ts';
import { damaged, scene } from './support/scene.ts';

const issuer = await authority();
const names = ['a.test'];
const brief = { notAfter: new Date(Date.now() + hour) };
const [v1, v2, v3, v4, b1, b2, short] = await issuer.issueMany([
  { names },
  { names },
  { names },
  { names },
  { names: ['b.test'] },
  { names: ['b.test'] },
  { names, ...brief },
]);
if (!v1 || !v2 || !v3 || !v4 || !b1 || !b2 || !short) throw new Error('seven were issued');

test(
  'a rollback serves the one before under a new number, and says why what is on disk is not served',
  bounded,
  async (t) => {
    const { put, reconciler, store, served, told, status, log, metrics } = await scene(t, { a: v1 });
    await put({ a: v2 });
    const { rolledBack, generation } = await reconciler.rollback('a');
    assert.deepEqual([rolledBack, generation, store.current.number], [['a'], 3, 3]);
    assert.equal(served(), v1.fingerprint256);
    assert.equal(store.current.served.get('a')?.since, 3);
    assert.deepEqual(told(), ['held', 'held', 'ROLLED_BACK']);
    assert.deepEqual(
      [status()?.state, status()?.lastError?.code, status()?.diskMatchesServed],
      ['held', 'ROLLED_BACK', false],
    );
    const rotated = log.of('rotation', 'a').at(-1);
    assert.deepEqual([rotated?.['trigger'], rotated?.['to']], ['rollback', v1.fingerprint256]);
    // Somebody wanted it: that is no error.
    assert.deepEqual(
      log.of('held', 'a').map(({ level, code }) => [level, code]),
      [['info', 'ROLLED_BACK']],
    );
    assert.equal(log.of('rejected').length, 0);
    assert.equal(await metricOf(metrics.certificateReloads, { certificate: 'a', result: 'held' }), 1);
    assert.equal(await metricOf(metrics.certificateReloads, { result: 'rejected' }), 0);
  },
);

test('what was rolled back stays away until its files change, whatever makes Swivel look', bounded, async (t) => {
  const { put, run, reconciler, store, served, told, logged } = await scene(t, { a: v1 });
  await put({ a: v2 });
  await reconciler.rollback('a');
  for (const trigger of ['event', 'resync', 'retry', 'signal', 'api', 'schedule'] as const) {
    await put({ a: v2 }, trigger);
    assert.deepEqual([served(), told()[0]], [v1.fingerprint256, 'held'], trigger);
  }
  // Damaged meanwhile, or gone, and the same again: nothing new.
  for (const change of [damaged, null]) {
    await put({ a: change });
    assert.deepEqual([served(), told()[0]], [v1.fingerprint256, 'rejected']);
    await put({ a: v2 });
    assert.deepEqual([served(), told()[0]], [v1.fingerprint256, 'held']);
  }
  assert.equal(store.current.number, 3);
  assert.equal(logged('rotation'), 2);
  await put({ a: v3 });
  assert.deepEqual([served(), told()], [v3.fingerprint256, ['applied', 'serving', null]]);
  await run();
  // The hold ended with the change: the one that was held is a certificate like any other.
  await put({ a: v2 });
  assert.equal(served(), v2.fingerprint256);
});

test('the certificate that was gone back to, put on disk, is what is served', bounded, async (t) => {
  const { put, reconciler, store, served, told } = await scene(t, { a: v1 });
  await put({ a: v2 });
  await reconciler.rollback('a');
  await put({ a: v1 });
  assert.deepEqual([served(), told()], [v1.fingerprint256, ['unchanged', 'serving', null]]);
  assert.equal(store.current.number, 3);
  await put({ a: v2 });
  assert.equal(served(), v2.fingerprint256);
});

test('every further rollback goes one further back, and in the end there is nothing', bounded, async (t) => {
  const { put, reconciler, served } = await scene(t, { a: v1 });
  for (const a of [v2, v3, v4]) await put({ a });
  for (const back of [v3, v2, v1]) {
    await reconciler.rollback('a');
    assert.equal(served(), back.fingerprint256);
  }
  await assert.rejects(reconciler.rollback('a'), { code: 'ROLLBACK_IMPOSSIBLE' });
  await assert.rejects(reconciler.rollback(), { code: 'ROLLBACK_IMPOSSIBLE' });
  assert.equal(served(), v1.fingerprint256);
  // What was gone back from is not what is gone back to.
  await put({ a: b1 }, 'api', { accept: ['a'] });
  await reconciler.rollback('a');
  assert.equal(served(), v1.fingerprint256);
});

test('nobody goes back to what has expired, nor to what is served', bounded, async (t) => {
  let clock = Date.now();
  const { put, reconciler, served } = await scene(t, { a: v1 }, { now: () => clock });
  for (const a of [short, v2, short, v2]) await put({ a });
  clock += hour + 1000;
  await reconciler.rollback('a');
  assert.equal(served(), v1.fingerprint256);
});

test('when the one that was gone back to expires, what is on disk takes over by itself', bounded, async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let clock = Date.now();
  const { put, reconciler, served, log, told } = await scene(t, { a: short }, { now: () => clock });
  reconciler.follow(watching(t, log, { mode: 'off' }));
  await put({ a: v2 });
  await reconciler.rollback('a');
  assert.equal(served(), short.fingerprint256);
  clock += hour + 1000;
  t.mock.timers.tick(hour + 1000);
  await eventually(() => served() === v2.fingerprint256);
  await settle();
  assert.deepEqual(told(), ['applied', 'serving', null]);
  await reconciler.runOnce('event');
  assert.deepEqual(told(), ['unchanged', 'serving', null]);
});

test('without a name, all that the last commit changed goes back, and nothing else', bounded, async (t) => {
  const { put, reconciler, served } = await scene(t, { a: v1, b: b1 });
  await put({ a: v2 });
  await put({ a: v3, b: b2 });
  assert.deepEqual((await reconciler.rollback()).rolledBack, ['a', 'b']);
  assert.deepEqual([served(), served('b')], [v2.fingerprint256, b1.fingerprint256]);
  assert.deepEqual((await reconciler.rollback()).rolledBack, ['a']);
  assert.deepEqual([served(), served('b')], [v1.fingerprint256, b1.fingerprint256]);
  await assert.rejects(reconciler.rollback(), { code: 'ROLLBACK_IMPOSSIBLE' });
});

test('what went back by itself is not gone back once more without a name', bounded, async (t) => {
  const { put, reconciler, served } = await scene(t, { a: v1, b: b1 });
  await put({ a: v2, b: b2 });
  await reconciler.rollback('a');
  assert.deepEqual((await reconciler.rollback()).rolledBack, ['b']);
  assert.deepEqual([served(), served('b')], [v1.fingerprint256, b1.fingerprint256]);
});

test('an id that nobody has is refused by its code, and nothing changes', bounded, async (t) => {
  const { put, reconciler, store, told } = await scene(t, { a: v1 });
  await put({ a: v2, x: damaged });
  for (const id of ['c', 'x']) await assert.rejects(reconciler.rollback(id), { code: 'CERTIFICATE_UNKNOWN' });
  assert.deepEqual([store.current.number, told()[0]], [2, 'unchanged']);
});

test('a rollback that is impossible fails for who asked for it, and for nobody else', bounded, async (t) => {
  const { write, run, reconciler, served } = await scene(t, { a: v1 });
  write({ a: v2 });
  const [impossible, report, unknown] = await Promise.allSettled([
    reconciler.rollback('a'),
    run(),
    reconciler.rollback('c'),
  ]);
  assert.deepEqual([impossible?.status, report?.status, unknown?.status], ['rejected', 'fulfilled', 'rejected']);
  assert.equal(served(), v2.fingerprint256);
  await reconciler.rollback('a');
  assert.equal(served(), v1.fingerprint256);
});

test('a rollback that comes in the middle of a rotation is not undone by it', bounded, async (t) => {
  let commit = Promise.withResolvers<void>();
  commit.resolve();
  let reached = Promise.withResolvers<void>();
  const { put, reconciler, served, told } = await scene(
    t,
    { a: v1 },
    {
      wrap: (local) => ({
        get current() {
          return local.current;
        },
        prepare: async (target, at) => {
          const prepared = await local.prepare(target, at);
          reached.resolve();
          await commit.promise;
          return prepared;
        },
        confirm: (ids) => local.confirm(ids),
        cut: (fingerprints) => local.cut(fingerprints),
      }),
    },
  );
  await put({ a: v2 });
  commit = Promise.withResolvers();
  reached = Promise.withResolvers();
  const rotating = put({ a: v3 });
  await reached.promise;
  const back = reconciler.rollback('a');
  commit.resolve();
  await Promise.all([rotating, back]);
  assert.deepEqual([served(), told()], [v2.fingerprint256, ['held', 'held', 'ROLLED_BACK']]);
  await reconciler.runOnce('event');
  assert.equal(served(), v2.fingerprint256);
});

test('accepting what is on disk ends the rollback', bounded, async (t) => {
  const { put, run, reconciler, served, told } = await scene(t, { a: v1 });
  await put({ a: v2 });
  await reconciler.rollback('a');
  await run('api', { accept: ['a'] });
  assert.deepEqual([served(), told()[0]], [v2.fingerprint256, 'applied']);
  await run();
  assert.deepEqual(told(), ['unchanged', 'serving', null]);
  // And a rollback ends the acceptance.
  await reconciler.rollback('a');
  await run('resync');
  assert.deepEqual([served(), told()[0]], [v1.fingerprint256, 'held']);
});

test('a rollback while something rejected is on disk goes back, and holds what is on disk', bounded, async (t) => {
  const { put, run, reconciler, served, told } = await scene(t, { a: v1 });
  await put({ a: v2 });
  await put({ a: b1 });
  assert.equal(told()[2], 'NAMES_LOST');
  await reconciler.rollback('a');
  assert.deepEqual([served(), told()[0]], [v1.fingerprint256, 'held']);
  await run('resync');
  assert.equal(served(), v1.fingerprint256);
  await put({ a: v3 });
  assert.equal(served(), v3.fingerprint256);
});

test('a rollback while what is on disk is damaged holds what was served, should it be repaired', bounded, async (t) => {
  const { put, reconciler, served, told } = await scene(t, { a: v1 });
  await put({ a: v2 });
  await put({ a: damaged });
  await reconciler.rollback('a');
  assert.equal(served(), v1.fingerprint256);
  await put({ a: v2 });
  assert.deepEqual([served(), told()[0]], [v1.fingerprint256, 'held']);
});

test('what an identity can go back to is bounded', bounded, async (t) => {
  const leaves = await issuer.issueMany(Array.from({ length: 14 }, () => ({ names })));
  const { put, reconciler, served } = await scene(t, { a: v1 });
  for (const a of leaves) await put({ a });
  for (let steps = 0; steps < 10; steps++) await reconciler.rollback('a');
  assert.equal(served(), leaves[3]?.fingerprint256);
  await assert.rejects(reconciler.rollback('a'), { code: 'ROLLBACK_IMPOSSIBLE' });
});

test('what an identity can go back to does not depend on how often others change', bounded, async (t) => {
  const others = await issuer.issueMany(Array.from({ length: 14 }, () => ({ names: ['b.test'] })));
  const { put, reconciler, served } = await scene(t, { a: v1, b: b1 });
  await put({ a: v2 });
  for (const b of others) await put({ b });
  await reconciler.rollback('a');
  assert.equal(served(), v1.fingerprint256);
});

test('what the TLS layer would not take any more is not gone back to, and that settles it', bounded, async (t) => {
  const rehearsal: { minVersion: 'TLSv1.2'; ciphers?: string } = { minVersion: 'TLSv1.2' };
  const rsa = await issuer.issue({ names, keyType: 'rsa-2048' });
  const { put, run, reconciler, served, store } = await scene(t, { a: rsa }, { store: { rehearsal } });
  await put({ a: v2 });
  rehearsal.ciphers = 'TLS_AES_128_GCM_SHA256:ECDHE-ECDSA-AES128-GCM-SHA256';
  await reconciler.rollback('a');
  assert.equal(served(), v2.fingerprint256);
  const { number } = store.current;
  await run();
  await run('resync');
  assert.deepEqual([served(), store.current.number], [v2.fingerprint256, number]);
});

test('after a stop nobody goes back', bounded, async (t) => {
  const { reconciler } = rotation(t, []);
  reconciler.stop();
  await assert.rejects(reconciler.rollback(), { code: 'SHUTTING_DOWN' });
});
