import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import { FileFault } from '../../src/files/index.ts';
import type { Leaf } from '../support/pki.ts';
import { bounded, eventually, metricOf } from '../support/swivel.ts';
import { authority, hour, materialOf, refusedLeaf } from '../tls/support/identities.ts';
import { FakeSource, rotation, watching } from './support/rotation.ts';

const issuer = await authority();
const [first, second, third, other, otherRenewed] = await issuer.issueMany([
  { names: ['a.test'] },
  { names: ['a.test'] },
  { names: ['a.test'] },
  { names: ['b.test'] },
  { names: ['b.test'] },
]);
if (!first || !second || !third || !other || !otherRenewed) throw new Error('five were issued');
const broken = { chainPem: first.chainPem, keyPem: 'no key' };

test('marks that come during a run cause exactly one more', bounded, async (t) => {
  const source = new FakeSource('s', materialOf('a', first));
  const { reconciler } = rotation(t, [source]);
  const gate = Promise.withResolvers<void>();
  source.gate = gate.promise;
  const { begun } = source;
  const run = reconciler.runOnce('api');
  await begun;
  const during = Array.from({ length: 50 }, () => reconciler.runOnce('api'));
  assert.equal(source.loads, 1);
  gate.resolve();
  await run;
  const reports = await Promise.all(during);
  assert.equal(source.loads, 2);
  assert.equal(new Set(reports).size, 1);
});

test('marks in one turn of the event loop go into one run', bounded, async (t) => {
  const source = new FakeSource('s', materialOf('a', first));
  const { reconciler } = rotation(t, [source]);
  await Promise.all([reconciler.runOnce('api'), reconciler.runOnce('signal')]);
  assert.equal(source.loads, 1);
});

test('what changes while it is read is read again', bounded, async (t) => {
  const source = new FakeSource('s', materialOf('a', first));
  const { reconciler, servedBy } = rotation(t, [source]);
  for (let i = 0; i < 20; i++) {
    const { begun } = source;
    const before = reconciler.runOnce('event');
    await begun;
    const last: Leaf = i % 2 === 0 ? second : third;
    source.identities = [materialOf('a', last)];
    await reconciler.runOnce('event');
    await before;
    assert.equal(servedBy('a.test')?.leaf.fingerprint256, last.fingerprint256);
  }
});

test('the number of the generation does not move while nothing changes', bounded, async (t) => {
  const source = new FakeSource('s', materialOf('a', first), materialOf('b', other));
  const { reconciler, store } = rotation(t, [source]);
  for (const trigger of ['start', 'event', 'resync', 'signal', 'api', 'retry'] as const) {
    source.identities = source.identities.map((one) => ({ ...one }));
    assert.equal((await reconciler.runOnce(trigger)).generation, 1);
  }
  source.identities = [...source.identities.slice(0, 1), materialOf('b', other), materialOf('c', broken)];
  assert.equal((await reconciler.runOnce('event')).generation, 1);
  assert.equal(store.current.number, 1);
});

test('one that is broken changes nothing for the others of its source, nor for other sources', bounded, async (t) => {
  const one = new FakeSource('one', materialOf('a', first), materialOf('b', other));
  const two = new FakeSource('two', materialOf('c', third));
  const { reconciler, servedBy } = rotation(t, [one, two]);
  await reconciler.runOnce('start');
  one.identities = [materialOf('a', second), materialOf('b', { ...other, keyPem: 'no key' })];
  two.load = () => Promise.reject(new FileFault('SOURCE_UNREADABLE', '/two', 'no right'));
  const { verdicts, failures } = await reconciler.runOnce('event');
  assert.deepEqual(
    verdicts.map(({ id, result }) => [id, result]),
    [
      ['a', 'applied'],
      ['b', 'rejected'],
      ['c', 'rejected'],
    ],
  );
  assert.equal(failures[0]?.code, 'SOURCE_UNREADABLE');
  assert.equal(servedBy('b.test')?.leaf.fingerprint256, other.fingerprint256);
  assert.equal(servedBy('a.test')?.id, 'a');
});

test('a source that hangs holds up no other, and counts again when it answers', bounded, async (t) => {
  const stuck = new FakeSource('stuck', materialOf('a', first));
  const well = new FakeSource('well', materialOf('b', other));
  const { reconciler, servedBy, log } = rotation(t, [stuck, well], { loadTimeout: 20 });
  const gate = Promise.withResolvers<void>();
  stuck.gate = gate.promise;
  const { failures } = await reconciler.runOnce('start');
  assert.equal(failures[0]?.code, 'SOURCE_TIMEOUT');
  assert.equal(servedBy('b.test')?.id, 'b');
  await reconciler.runOnce('api');
  assert.deepEqual([stuck.loads, well.loads], [1, 2]);
  reconciler.follow(watching(t, log, { mode: 'off' }));
  gate.resolve();
  await eventually(() => servedBy('a.test')?.id === 'a');
});

test(
  'an id that two sources have belongs to the one that had it first, whatever comes and goes',
  bounded,
  async (t) => {
    const one = new FakeSource('one', materialOf('a', first, 'one'));
    const two = new FakeSource('two', materialOf('a', other, 'two'));
    const { reconciler, store } = rotation(t, [one, two]);
    const served = () => [...store.current.served].map(([id, { identity }]) => `${id} ${identity.leaf.fingerprint256}`);
    const both = [`a ${first.fingerprint256}`, `two/a ${other.fingerprint256}`];
    await reconciler.runOnce('start');
    assert.deepEqual(served(), both);
    one.identities = [];
    const { verdicts } = await reconciler.runOnce('event');
    assert.equal(verdicts.find(({ id }) => id === 'a')?.error?.code, 'FILE_MISSING');
    assert.deepEqual(served(), both);
    one.identities = [materialOf('a', first, 'one')];
    assert.equal((await reconciler.runOnce('event')).generation, 1);
  },
);

test(
  'what the TLS library refuses is rejected once, keeps what it has and does not stop the others',
  bounded,
  async (t) => {
    const refused = await refusedLeaf(['a.test']);
    const source = new FakeSource('s', materialOf('a', first), materialOf('b', other));
    const { reconciler, store, servedBy, metrics, log } = rotation(t, [source]);
    await reconciler.runOnce('start');
    const newer = await issuer.issue({ names: ['b.test'] });
    source.identities = [materialOf('a', refused), materialOf('b', newer)];
    for (let i = 0; i < 3; i++) {
      const { verdicts, generation } = await reconciler.runOnce('api');
      assert.equal(generation, 2);
      const [verdict] = verdicts;
      assert.deepEqual([verdict?.result, verdict?.error?.code], ['rejected', 'CONTEXT_FAILED']);
      assert.equal(verdict?.diskMatchesServed, false);
    }
    assert.equal(servedBy('a.test')?.leaf.fingerprint256, first.fingerprint256);
    assert.equal(servedBy('b.test')?.leaf.fingerprint256, newer.fingerprint256);
    assert.equal(log.of('rejected', 'a').length, 1);
    assert.equal(await metricOf(metrics.certificateReloads, { certificate: 'a', result: 'rejected' }), 1);
    source.identities = [materialOf('a', second), materialOf('b', newer)];
    assert.equal((await reconciler.runOnce('api')).generation, 3);
    assert.equal(store.current.served.get('a')?.identity.leaf.fingerprint256, second.fingerprint256);
  },
);

test('a deleted one is not dropped for one that the TLS library refuses', bounded, async (t) => {
  const source = new FakeSource('s', materialOf('a', first));
  const { reconciler, servedBy } = rotation(t, [source]);
  await reconciler.runOnce('start');
  source.identities = [materialOf('b', await refusedLeaf(['a.test']))];
  const { verdicts } = await reconciler.runOnce('event');
  assert.equal(servedBy('a.test')?.leaf.fingerprint256, first.fingerprint256);
  assert.deepEqual(
    verdicts.map(({ id, result, error }) => [id, result, error?.code]),
    [
      ['a', 'rejected', 'FILE_MISSING'],
      ['b', 'rejected', 'CONTEXT_FAILED'],
    ],
  );
});

test('a certificate that is not valid yet is served from the moment it is', bounded, async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let clock = Date.now();
  const waiting = await issuer.issue({ names: ['a.test'], notBefore: new Date(clock + hour) });
  const source = new FakeSource('s', materialOf('a', first));
  const { reconciler, servedBy, log, metrics } = rotation(t, [source], { now: () => clock });
  await reconciler.runOnce('start');
  reconciler.follow(watching(t, log, { mode: 'off' }));
  source.identities = [materialOf('a', waiting)];
  await reconciler.runOnce('event');
  assert.equal(log.of('pending', 'a').length, 1);
  assert.equal(await metricOf(metrics.certificateReloads, { result: 'pending' }), 1);
  assert.equal(servedBy('a.test')?.leaf.fingerprint256, first.fingerprint256);
  clock += hour;
  t.mock.timers.tick(hour);
  assert.equal((await log.until('rotation', 'a'))['trigger'], 'schedule');
  assert.equal(servedBy('a.test')?.leaf.fingerprint256, waiting.fingerprint256);
});

test('when the best certificate of a name expires, the next best takes over by itself', bounded, async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let clock = Date.now();
  const dates = { notBefore: new Date(clock - hour / 2), notAfter: new Date(clock + hour) };
  const short = await issuer.issue({ names: ['a.test'], ...dates });
  const source = new FakeSource('s', materialOf('long', first), materialOf('short', short));
  const { reconciler, servedBy, log, journal } = rotation(t, [source], { now: () => clock });
  await reconciler.runOnce('start');
  reconciler.follow(watching(t, log, { mode: 'off' }));
  await reconciler.runOnce('event');
  assert.equal(servedBy('a.test')?.id, 'short');
  clock += hour + 1000;
  t.mock.timers.tick(hour + 1000);
  await eventually(() => servedBy('a.test')?.id === 'long');
  await eventually(() => journal.verdicts.some(({ id, state }) => id === 'short' && state === 'expired'));
});

test('what was rejected is looked at again, ever more rarely, until the resync has it', bounded, async (t) => {
  const source = new FakeSource('s', materialOf('a', broken));
  const { reconciler, log } = rotation(t, [source]);
  await reconciler.runOnce('start');
  t.mock.timers.enable({ apis: ['setTimeout'] });
  reconciler.follow(watching(t, log, { mode: 'off' }));
  await reconciler.runOnce('event');
  for (const wait of [25, 50, 100, 200, 400, 800, 1600, 3200, 6400]) {
    const { loads, begun } = source;
    t.mock.timers.tick(wait - 1);
    await reconciler.runOnce('resync');
    assert.equal(source.loads, loads + 1);
    t.mock.timers.tick(1);
    await begun;
    await eventually(() => source.loads === loads + 2);
    // The run is over when another one answers.
    await reconciler.runOnce('resync');
  }
  const { loads } = source;
  t.mock.timers.tick(hour);
  await reconciler.runOnce('resync');
  assert.equal(source.loads, loads + 1);
});

test('a publisher that fails fails the run, and the next one makes up for it', bounded, async (t) => {
  let failing = true;
  const source = new FakeSource('s', materialOf('a', first));
  const { reconciler, servedBy, log } = rotation(t, [source], {
    wrap: (local) => ({
      get current() {
        return local.current;
      },
      prepare: (...all) => (failing ? Promise.reject(new Error('no memory')) : local.prepare(...all)),
      confirm: (ids) => local.confirm(ids),
      cut: (fingerprints) => local.cut(fingerprints),
    }),
  });
  await assert.rejects(reconciler.runOnce('api'), /no memory/);
  assert.equal(log.lines.filter(({ code }) => code === 'INTERNAL').length, 1);
  failing = false;
  await reconciler.runOnce('api');
  assert.equal(servedBy('a.test')?.id, 'a');
});

test('a source that is slow to read holds up no other one, and is looked at when it is there', bounded, async (t) => {
  const slow = new FakeSource('slow', materialOf('a', first));
  const quick = new FakeSource('quick', materialOf('b', other));
  const { reconciler, servedBy, log } = rotation(t, [slow, quick]);
  await reconciler.runOnce('start');
  const gate = Promise.withResolvers<void>();
  slow.gate = gate.promise;
  slow.identities = [materialOf('a', second)];
  quick.identities = [materialOf('b', otherRenewed)];
  reconciler.follow(watching(t, log, { resync: 50 }));
  await log.until('rotation', 'b');
  assert.equal(servedBy('a.test')?.leaf.fingerprint256, first.fingerprint256, 'it is still being read');
  gate.resolve();
  await log.until('rotation', 'a');
});

test(
  'a rotation counts from the first sign of it, and not from an earlier one that was looked at',
  bounded,
  async (t) => {
    const source = new FakeSource('slow', materialOf('a', first));
    const { reconciler, log } = rotation(t, [source]);
    await reconciler.runOnce('start');
    const load = source.load.bind(source);
    // Each reading takes longer than others wait for it, and is asked for again before it ends.
    source.load = () => delay(50).then(load);
    const readings = async (count: number) => {
      for (let i = 0; i < count; i++) await source.begun;
    };
    reconciler.follow(watching(t, log, { resync: 10 }));
    await readings(5);
    const before = performance.now();
    await readings(5);
    source.identities = [materialOf('a', second)];
    const { durationMs } = await log.until('rotation', 'a');
    assert.ok(Number(durationMs) < performance.now() - before, `${durationMs} ms`);
  },
);

test('after a stop nothing runs any more, and who waits is told', bounded, async (t) => {
  const source = new FakeSource('s', materialOf('a', first));
  const { reconciler } = rotation(t, [source]);
  const gate = Promise.withResolvers<void>();
  source.gate = gate.promise;
  const { begun } = source;
  const running = reconciler.runOnce('api');
  await begun;
  const waiting = reconciler.runOnce('api');
  reconciler.stop();
  for (const told of [running, waiting]) await assert.rejects(told, { code: 'SHUTTING_DOWN' });
  await assert.rejects(reconciler.runOnce('api'), { code: 'SHUTTING_DOWN' });
  gate.resolve();
  await nextTurn();
  assert.equal(source.loads, 1);
});
