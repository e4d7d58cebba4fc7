import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Delays } from '../../src/rotation/delays.ts';
import { bounded, eventually, metricOf, settle } from '../support/swivel.ts';
import { authority, hour } from '../tls/support/identities.ts';
import { watching } from './support/rotation.ts';
import { scene } from './support/scene.ts';
import { now, synthetic } from './support/synthetic.ts';

const issuer = await authority();
const names = ['a.test'];
const [v1, v2, v3, b1, b2, short] = await issuer.issueMany([
  { names },
  { names },
  { names },
  { names: ['b.test'] },
  { names: ['b.test'] },
  { names, notAfter: new Date(Date.now() + hour) },
]);
if (!v1 || !v2 || !v3 || !b1 || !b2 || !short) throw new Error('six were issued');

const minute = 60_000;
/** So narrow that the moment is known. */
const activation = { jitter: { min: minute, max: minute } };

test('the delay is of the range, drawn once for each certificate', () => {
  const unit = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
  fc.assert(
    fc.property(fc.nat(100_000), fc.integer({ min: 1, max: 100_000 }), unit, (min, span, drawn) => {
      let draws = 0;
      const random = () => {
        draws += 1;
        return drawn;
      };
      const delays = new Delays({ min, max: min + span }, random);
      const one = synthetic({ id: 'a', version: 1 });
      const at = delays.activatesAt(one, now);
      assert.ok(at >= now + min && at <= now + min + span);
      assert.equal(delays.activatesAt(one, now + 5), at);
      assert.equal(delays.activatesAt(synthetic({ id: 'b' }), now + 7), at + 7);
      assert.equal(delays.activatesAt(synthetic({ id: 'a', version: 2 }), now + 9), at + 9);
      assert.equal(draws, 3);
    }),
  );
  assert.equal(new Delays({ min: 0, max: 0 }).activatesAt(synthetic({ id: 'a' }), now), now);
});

test('a renewal waits, says until when, and is served then by itself', bounded, async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let clock = Date.now();
  const { put, reconciler, served, told, status, log, metrics } = await scene(
    t,
    { a: v1, b: b1 },
    { activation, now: () => clock },
  );
  reconciler.follow(watching(t, log, { mode: 'off' }));
  await put({ a: v2 });
  assert.deepEqual([told(), served()], [['pending', 'pending', 'ACTIVATION_DELAYED'], v1.fingerprint256]);
  const message = status()?.lastError?.message ?? '';
  assert.ok(message.includes(new Date(clock + minute).toISOString()), message);
  assert.equal(await metricOf(metrics.certificateReloads, { certificate: 'a', result: 'pending' }), 1);
  clock += minute - 1;
  t.mock.timers.tick(minute - 1);
  await put({ b: b2 });
  // Looking again draws no new delay, and one that waits delays no other.
  assert.deepEqual([served(), told('b')[2]], [v1.fingerprint256, 'ACTIVATION_DELAYED']);
  clock += 1;
  t.mock.timers.tick(1);
  assert.equal((await log.until('rotation', 'a'))['trigger'], 'schedule');
  await eventually(() => told()[0] === 'applied');
  assert.deepEqual([served(), served('b')], [v2.fingerprint256, b1.fingerprint256]);
  await settle();
  clock += minute;
  t.mock.timers.tick(minute);
  await log.until('rotation', 'b');
  await eventually(() => served('b') === b2.fingerprint256);
});

test('something newer, while one waits, waits for itself', bounded, async (t) => {
  let clock = Date.now();
  const { put, run, served } = await scene(t, { a: v1 }, { activation, now: () => clock });
  await put({ a: v2 });
  clock += minute / 2;
  await put({ a: v3 });
  clock += minute / 2;
  await run();
  assert.equal(served(), v1.fingerprint256);
  clock += minute / 2;
  await run();
  assert.equal(served(), v3.fingerprint256);
});

test('whoever asks for it gets it at once', bounded, async (t) => {
  for (const trigger of ['api', 'signal'] as const) {
    const { put, served } = await scene(t, { a: v1 }, { activation });
    await put({ a: v2 }, trigger);
    assert.equal(served(), v2.fingerprint256, trigger);
  }
  const { put, run, served, reconciler } = await scene(t, { a: v1 }, { activation });
  assert.equal(served(), v1.fingerprint256);
  await put({ a: v2 });
  await run('event', { accept: ['a'] });
  assert.equal(served(), v2.fingerprint256);
  await reconciler.rollback('a');
  assert.equal(served(), v1.fingerprint256);
});

test('nothing waits where there is nothing good to go on serving', bounded, async (t) => {
  let clock = Date.now();
  const { put, served } = await scene(t, { a: short }, { activation, now: () => clock });
  await put({ b: b1 });
  assert.equal(served('b'), b1.fingerprint256);
  await put({ a: v2 });
  assert.equal(served(), short.fingerprint256);
  clock += hour + 1000;
  await put({ a: v3 });
  assert.equal(served(), v3.fingerprint256);
});
