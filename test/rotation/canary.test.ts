import assert from 'node:assert/strict';
import { Socket } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import { isWorse, Trials } from '../../src/rotation/index.ts';
import type { ContextStore } from '../../src/tls/index.ts';
import { bounded, eventually, metricOf } from '../support/swivel.ts';
import { authority, hour } from '../tls/support/identities.ts';
import { watching } from './support/rotation.ts';
import { damaged, scene } from './support/scene.ts';
import { now as moment, synthetic } from './support/synthetic.ts';

const issuer = await authority();
const names = ['a.test', '*.a.test'];
const [v1, v2, v3, fewer, covering, other, anew, short] = await issuer.issueMany([
  { names },
  { names },
  { names },
  { names: ['a.test'] },
  { names: ['*.a.test'], notBefore: new Date(Date.now() - 5 * hour) },
  { names: ['b.test'] },
  { names: ['b.test'] },
  { names, notAfter: new Date(Date.now() + hour / 2) },
]);
if (!v1 || !v2 || !v3 || !fewer || !covering || !other || !anew || !short) throw new Error('eight were issued');

const activation = { canary: { share: 0.25, duration: hour } };
const setup = { activation, store: { canaryShare: 0.25 } };

/** Tells the outcome of handshakes with a certificate. */
const handshakes = ({ reconciler, store }: Awaited<ReturnType<typeof scene>>) => {
  const fingerprintOf = (which: 'served' | 'canaries', id: string) =>
    store.current[which].get(id)?.identity.fingerprint ?? '';
  return (which: 'served' | 'canaries', refused: boolean, times: number, id = 'a') => {
    const fingerprint = fingerprintOf(which, id);
    for (let i = 0; i < times; i++) reconciler.observe(id, fingerprint, refused);
  };
};

/** A connection that was given a certificate. */
function connectionOn(
  { connections, store }: Awaited<ReturnType<typeof scene>>,
  which: 'served' | 'canaries',
  id = 'a',
) {
  const identity = store.current[which].get(id)?.identity;
  assert.ok(identity);
  const connection = connections.add(new Socket());
  const { fingerprint, leaf } = identity;
  connections.tag(connection, { id, fingerprint, fingerprint256: leaf.fingerprint256, names: identity.names });
  return connection;
}

const given = (store: ContextStore, name: string) => store.choose(name)?.identity.leaf.fingerprint256;

const counts = fc.tuple(fc.nat(2000), fc.nat(2000)).map(([well, refused]) => ({ handshakes: well + refused, refused }));
const more = fc.integer({ min: 1, max: 500 });

test('a canary that was refused less than three times is never worse', () => {
  fc.assert(
    fc.property(fc.nat(2), fc.nat(100), counts, (refused, well, stable) => {
      assert.equal(isWorse({ handshakes: well + refused, refused }, stable), false);
    }),
  );
});

test('more refusals never make a canary look better, nor do less of them make it look worse', () => {
  fc.assert(
    fc.property(counts, counts, more, (canary, stable, n) => {
      const worse = isWorse(canary, stable);
      const { handshakes, refused } = canary;
      if (worse) assert.ok(isWorse({ handshakes: handshakes + n, refused: refused + n }, stable));
      else assert.ok(!isWorse({ handshakes: handshakes + n, refused }, stable));
    }),
  );
});

test('a canary is held against the refusals of the old one', () => {
  fc.assert(
    fc.property(counts, counts, more, (canary, stable, n) => {
      if (isWorse(canary, { handshakes: stable.handshakes + n, refused: stable.refused + n })) {
        assert.ok(isWorse(canary, stable));
      }
      // As bad as the old one is not worse, however many tell.
      assert.equal(isWorse(stable, stable), false);
    }),
  );
});

test('all clients or a tenth of them: that is seen soon; one in a thousand, or as many as ever: that is not', () => {
  assert.ok(isWorse({ handshakes: 3, refused: 3 }, { handshakes: 0, refused: 0 }));
  assert.ok(isWorse({ handshakes: 50, refused: 5 }, { handshakes: 500, refused: 0 }));
  assert.ok(!isWorse({ handshakes: 3000, refused: 3 }, { handshakes: 10_000, refused: 0 }));
  assert.ok(!isWorse({ handshakes: 100, refused: 20 }, { handshakes: 1000, refused: 200 }));
});

test('handshakes count for the one that was shown, and only while there is a trial', () => {
  const trials = new Trials({ share: 0.5, duration: 1000 });
  const identity = synthetic({ id: 'a', version: 1 });
  const another = synthetic({ id: 'a', version: 2 });
  assert.equal(trials.observe('a', identity.fingerprint, true), null);
  assert.equal(trials.stateOf(identity, moment), 'none');
  assert.equal(trials.published([identity], moment).length, 1);
  assert.deepEqual(trials.published([identity], moment + 500), []);
  assert.equal(trials.stateOf(identity, moment + 999), 'running');
  assert.equal(trials.stateOf(identity, moment + 1000), 'passed');
  assert.equal(trials.stateOf(another, moment + 1000), 'none');
  for (let i = 0; i < 5; i++) assert.equal(trials.observe('a', 'an older one', true), null);
  assert.equal(trials.observe('a', identity.fingerprint, false), null);
  assert.equal(trials.observe('b', identity.fingerprint, true), null);
  const trial = trials.get('a');
  assert.deepEqual(
    [trial?.canary, trial?.stable],
    [
      { handshakes: 1, refused: 0 },
      { handshakes: 5, refused: 5 },
    ],
  );
  assert.equal(trials.published([another], moment).length, 1);
  assert.deepEqual(trials.get('a')?.stable, { handshakes: 0, refused: 0 });
  trials.published([], moment);
  assert.equal(trials.get('a'), undefined);
  assert.equal(new Trials({ share: 0, duration: 1 }).stateOf(identity, moment), 'off');
});

test('a renewal is given to a share of the handshakes first, and to nobody who names no server', bounded, async (t) => {
  let drawn = 0;
  const { put, run, store, told, served, status, logged, servedBy } = await scene(
    t,
    { a: v1, b: other },
    { ...setup, random: () => drawn },
  );
  assert.equal(store.current.canaries.size, 0);
  const { generation } = await put({ a: v2 });
  assert.deepEqual([generation, told()], [2, ['canary', 'canary', 'CANARY_RUNNING']]);
  assert.equal(served(), v1.fingerprint256);
  drawn = 0.249;
  for (const name of ['a.test', 'A.test.', 'x.a.test']) assert.equal(given(store, name), v2.fingerprint256, name);
  assert.equal(given(store, 'b.test'), other.fingerprint256);
  assert.equal(given(store, 'c.test'), undefined);
  assert.equal(store.current.fallback?.identity.leaf.fingerprint256, v1.fingerprint256);
  assert.equal(servedBy('a.test')?.leaf.fingerprint256, v1.fingerprint256);
  drawn = 0.25;
  assert.equal(given(store, 'a.test'), v1.fingerprint256);
  const shown = status()?.canary;
  assert.deepEqual([shown?.fingerprint256, shown?.handshakes, shown?.refused], [v2.fingerprint256, 0, 0]);
  assert.equal(logged('canary'), 1);
  // To look again neither starts it over nor is a new generation.
  for (const trigger of ['event', 'resync', 'api'] as const) {
    assert.deepEqual([(await run(trigger)).generation, told()[0]], [2, 'unchanged']);
  }
  assert.equal(logged('canary'), 1);
  assert.equal(logged('rotation'), 0);
});

test('a canary is not given for a name that it does not cover', bounded, async (t) => {
  const { put, store, told } = await scene(t, { a: v1, w: covering }, { ...setup, random: () => 0 });
  await put({ a: fewer });
  assert.equal(told()[0], 'canary');
  assert.equal(given(store, 'a.test'), fewer.fingerprint256);
  assert.equal(given(store, 'x.a.test'), v1.fingerprint256);
});

test('nothing is on trial at a start, nor when what is served has expired', bounded, async (t) => {
  let clock = Date.now();
  const { put, told, served } = await scene(t, { a: short }, { ...setup, now: () => clock });
  assert.equal(told()[0], 'applied');
  clock += hour;
  await put({ a: v2 });
  assert.deepEqual([told()[0], served()], ['applied', v2.fingerprint256]);
  await put({ b: other });
  assert.equal(told('b')[0], 'applied');
});

test(
  'after its time it is promoted by itself; connections on the old one drain then and not before',
  bounded,
  async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    let clock = Date.now();
    const playing = await scene(t, { a: v1 }, { ...setup, now: () => clock });
    const { put, reconciler, store, served, log, told } = playing;
    reconciler.follow(watching(t, log, { mode: 'off' }));
    const old = connectionOn(playing, 'served');
    await put({ a: v2 });
    const young = connectionOn(playing, 'canaries');
    handshakes(playing)('canaries', false, 20);
    clock += hour - 1;
    t.mock.timers.tick(hour - 1);
    await reconciler.runOnce('event');
    assert.deepEqual([served(), old.draining], [v1.fingerprint256, false]);
    const { context } = store.current.canaries.get('a') ?? {};
    clock += 1;
    t.mock.timers.tick(1);
    assert.equal((await log.until('rotation', 'a'))['trigger'], 'schedule');
    await eventually(() => told()[0] === 'applied');
    assert.equal(served(), v2.fingerprint256);
    assert.equal(store.current.served.get('a')?.context, context);
    assert.equal(store.current.canaries.size, 0);
    assert.deepEqual([old.draining, young.draining], [true, false]);
    assert.equal(reconciler.trialOf('a'), undefined);
  },
);

test('what clients refuse is taken back, for all, with the reason kept until the files change', bounded, async (t) => {
  let clock = Date.now();
  const playing = await scene(t, { a: v1 }, { ...setup, random: () => 0, now: () => clock });
  const { put, run, store, served, told, status, log, metrics, codes } = playing;
  const old = connectionOn(playing, 'served');
  await put({ a: v2 });
  const young = connectionOn(playing, 'canaries');
  const observed = handshakes(playing);
  observed('served', false, 100);
  observed('canaries', true, 2);
  await run('resync');
  assert.equal(store.current.canaries.size, 1);
  assert.deepEqual([status()?.canary?.handshakes, status()?.canary?.refused], [2, 2]);
  observed('canaries', true, 1);
  await log.until('rejected', 'a');
  assert.equal(store.current.canaries.size, 0);
  assert.deepEqual([served(), given(store, 'a.test')], [v1.fingerprint256, v1.fingerprint256]);
  assert.deepEqual([young.draining, old.draining], [true, false]);
  assert.deepEqual(codes('rejected'), ['CANARY_REJECTED']);
  assert.match(
    String(log.of('rejected', 'a')[0]?.['message'] ?? log.of('rejected', 'a')[0]?.['msg']),
    /3 of 3 handshakes.*0 of 100/,
  );
  assert.equal(await metricOf(metrics.certificateReloads, { certificate: 'a', result: 'rejected' }), 1);
  clock += 2 * hour;
  for (const trigger of ['event', 'resync', 'api', 'schedule'] as const) {
    await put({ a: v2 }, trigger);
    assert.deepEqual(told(), ['held', 'held', 'CANARY_REJECTED'], trigger);
    assert.equal(status()?.lastError?.code, 'CANARY_REJECTED');
  }
  await put({ a: damaged });
  await put({ a: v2 });
  assert.equal(told()[2], 'CANARY_REJECTED');
  // The next one gets a trial of its own.
  await put({ a: v3 });
  assert.deepEqual([told()[0], status()?.canary?.refused], ['canary', 0]);
  assert.equal(served(), v1.fingerprint256);
});

test('clients that refused the old one as often take nothing back', bounded, async (t) => {
  const playing = await scene(t, { a: v1 }, setup);
  await playing.put({ a: v2 });
  const observed = handshakes(playing);
  observed('served', true, 20);
  observed('served', false, 80);
  observed('canaries', false, 80);
  observed('canaries', true, 20);
  await playing.run();
  assert.equal(playing.told()[1], 'canary');
});

test('files that change during a trial begin a new one', bounded, async (t) => {
  let clock = Date.now();
  const playing = await scene(t, { a: v1 }, { ...setup, now: () => clock });
  const { put, run, store, told, status, served } = playing;
  await put({ a: v2 });
  handshakes(playing)('canaries', true, 2);
  const young = connectionOn(playing, 'canaries');
  clock += hour / 2;
  await put({ a: v3 });
  assert.deepEqual([told()[0], status()?.canary?.refused], ['canary', 0]);
  assert.equal(store.current.canaries.get('a')?.identity.leaf.fingerprint256, v3.fingerprint256);
  assert.equal(young.draining, true);
  clock += hour - 1;
  await run();
  assert.equal(served(), v1.fingerprint256);
  clock += 1;
  await run();
  assert.equal(served(), v3.fingerprint256);
});

test('the old one put back, or something broken, ends the trial', bounded, async (t) => {
  const { put, store, told, reconciler } = await scene(t, { a: v1 }, setup);
  for (const [change, state] of [
    [v1, 'serving'],
    [damaged, 'rejected'],
    [null, 'rejected'],
  ] as const) {
    await put({ a: v2 });
    assert.equal(store.current.canaries.size, 1);
    await put({ a: change });
    assert.deepEqual([store.current.canaries.size, told()[1]], [0, state]);
    assert.equal(reconciler.trialOf('a'), undefined);
  }
});

test('a rollback during a trial ends the trial, also when it is not said of which', bounded, async (t) => {
  for (const id of ['a', undefined]) {
    const playing = await scene(t, { a: v3, b: other }, setup);
    const { put, reconciler, store, served, told } = playing;
    await put({ a: v1 }, 'api', { accept: ['a'] });
    assert.equal(served(), v1.fingerprint256);
    await put({ b: anew }, 'api', { accept: ['b'] });
    await put({ a: v2 });
    const young = connectionOn(playing, 'canaries');
    assert.deepEqual((await reconciler.rollback(id)).rolledBack, ['a']);
    assert.deepEqual([served(), store.current.canaries.size], [v1.fingerprint256, 0]);
    assert.deepEqual(told(), ['held', 'held', 'ROLLED_BACK']);
    assert.equal(young.draining, true);
    // The next one goes back to what was there before.
    assert.deepEqual((await reconciler.rollback(id)).rolledBack, [id ?? 'b']);
    if (id) assert.equal(served(), v3.fingerprint256);
  }
});

test('what is accepted needs no trial, and ends the one under way', bounded, async (t) => {
  const { put, run, told, served, store } = await scene(t, { a: v1 }, setup);
  await put({ a: v2 });
  await run('api', { accept: ['a'] });
  assert.deepEqual([told()[0], served(), store.current.canaries.size], ['applied', v2.fingerprint256, 0]);
});

test('when the old one expires during a trial, the new one takes over', bounded, async (t) => {
  let clock = Date.now();
  const playing = await scene(t, { a: short }, { ...setup, now: () => clock });
  await playing.put({ a: v2 });
  assert.equal(playing.told()[0], 'canary');
  handshakes(playing)('canaries', true, 3);
  clock += hour / 2 + 1000;
  await playing.run();
  assert.equal(playing.served(), v2.fingerprint256);
});

test('a trial that was begun on request is not ended by the delay that other renewals have', bounded, async (t) => {
  const jitter = { min: hour, max: hour };
  const { put, run, told } = await scene(t, { a: v1 }, { ...setup, activation: { ...activation, jitter } });
  await put({ a: v2 }, 'api');
  assert.equal(told()[0], 'canary');
  const { generation } = await run();
  assert.deepEqual([told()[1], generation], ['canary', 2]);
});

test('what the TLS layer refuses is not even tried on clients', bounded, async (t) => {
  const rsa = await issuer.issue({ names, keyType: 'rsa-2048' });
  const ciphers = 'TLS_AES_128_GCM_SHA256:ECDHE-ECDSA-AES128-GCM-SHA256';
  const store = { canaryShare: 0.25, rehearsal: { minVersion: 'TLSv1.2', ciphers } } as const;
  const { put, told, store: contexts } = await scene(t, { a: v1 }, { activation, store });
  await put({ a: rsa });
  assert.deepEqual([told()[2], contexts.current.canaries.size], ['HANDSHAKE_FAILED', 0]);
});
