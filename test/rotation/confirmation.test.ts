import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bounded, metricOf } from '../support/swivel.ts';
import { authority, hour } from '../tls/support/identities.ts';
import type { RotationSetup } from './support/rotation.ts';
import { scene } from './support/scene.ts';

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

/** Listeners that show something else than these leaves; what they were asked for is noted. */
function listeners(wrong: { fingerprint256: string }[]) {
  const asked: string[][] = [];
  const wrap: RotationSetup['wrap'] = (local) => ({
    get current() {
      return local.current;
    },
    prepare: (...all) => local.prepare(...all),
    confirm: async (ids) => {
      asked.push([...ids]);
      const shown = (id: string) => local.current.served.get(id)?.identity.leaf.fingerprint256;
      return ids.filter((id) => wrong.some(({ fingerprint256 }) => fingerprint256 === shown(id)));
    },
    cut: (fingerprints) => local.cut(fingerprints),
  });
  return { asked, wrap };
}

test(
  'what a listener does not show is taken back by itself, with the reason, until the files change',
  bounded,
  async (t) => {
    const { asked, wrap } = listeners([v2]);
    const { put, run, store, served, told, status, codes, metrics, logged } = await scene(
      t,
      { a: v1, b: b1 },
      { wrap },
    );
    assert.deepEqual(asked, []);
    const { generation } = await put({ a: v2, b: b2 });
    assert.deepEqual(asked, [['a', 'b']]);
    assert.deepEqual([served(), served('b'), generation], [v1.fingerprint256, b2.fingerprint256, 3]);
    assert.deepEqual(told(), ['held', 'held', 'HANDSHAKE_DISAGREES']);
    assert.equal(status()?.lastError?.code, 'HANDSHAKE_DISAGREES');
    assert.deepEqual(codes('rejected'), ['HANDSHAKE_DISAGREES']);
    assert.equal(await metricOf(metrics.certificateReloads, { certificate: 'a', result: 'rejected' }), 1);
    for (const trigger of ['event', 'resync', 'retry', 'api'] as const) await run(trigger);
    assert.deepEqual([store.current.number, asked.length, logged('rotation')], [3, 1, 2]);
    await put({ a: v3 });
    assert.deepEqual([served(), told()], [v3.fingerprint256, ['applied', 'serving', null]]);
  },
);

test('whoever accepts it makes it be tried once more, not over and over', bounded, async (t) => {
  const { asked, wrap } = listeners([v2]);
  const { put, run, served, told } = await scene(t, { a: v1 }, { wrap });
  await put({ a: v2 }, 'api', { accept: ['a'] });
  assert.deepEqual([served(), told()[2]], [v1.fingerprint256, 'HANDSHAKE_DISAGREES']);
  for (const trigger of ['event', 'resync', 'api'] as const) await run(trigger);
  assert.equal(asked.length, 1);
  await run('api', { accept: ['a'] });
  assert.deepEqual([served(), asked.length], [v1.fingerprint256, 2]);
  await run('resync');
  assert.equal(asked.length, 2);
});

test('what was taken back is no change that a rollback would undo', bounded, async (t) => {
  const { wrap } = listeners([v3]);
  const { put, reconciler, served } = await scene(t, { a: v1 }, { wrap });
  await put({ a: v2 });
  await put({ a: v3 });
  assert.equal(served(), v2.fingerprint256);
  await reconciler.rollback('a');
  assert.equal(served(), v1.fingerprint256);
  await assert.rejects(reconciler.rollback(), { code: 'ROLLBACK_IMPOSSIBLE' });
});

test('nobody goes back to what has expired, because of what a listener shows', bounded, async (t) => {
  let clock = Date.now();
  const { wrap } = listeners([v2]);
  const { put, run, store, served } = await scene(t, { a: short }, { wrap, now: () => clock });
  clock += hour + 1000;
  await put({ a: v2 });
  assert.equal(served(), v2.fingerprint256);
  const { number } = store.current;
  await run();
  assert.equal(store.current.number, number);
});

test(
  'a promoted canary is asked for, what some clients get only is not; nor what was there before',
  bounded,
  async (t) => {
    let clock = Date.now();
    const { asked, wrap } = listeners([v2]);
    const activation = { canary: { share: 0.5, duration: hour } };
    const { put, run, reconciler, served, told } = await scene(
      t,
      { a: v1, b: b1 },
      { wrap, activation, now: () => clock },
    );
    await put({ a: v2 });
    assert.deepEqual([told()[0], asked.flat()], ['canary', []]);
    clock += hour;
    await run();
    assert.deepEqual([served(), asked.flat()], [v1.fingerprint256, ['a']]);
    await put({ a: v3 }, 'api', { accept: ['a'] });
    await reconciler.rollback('a');
    assert.deepEqual([served(), asked.flat()], [v1.fingerprint256, ['a', 'a']]);
  },
);

test('a listener that cannot be asked changes nothing', bounded, async (t) => {
  for (const answer of [null, true]) {
    const { put, local, served } = await scene(t, { a: v1 });
    local.confirmBy(async () => answer);
    await put({ a: v2 });
    assert.equal(served(), v2.fingerprint256);
  }
  const { put, local, served } = await scene(t, { a: v1 });
  const asked: string[] = [];
  local.confirmBy(async ({ leaf }) => {
    asked.push(leaf.fingerprint256);
    return false;
  });
  await put({ a: v2, b: b1 });
  assert.deepEqual([served(), served('b'), asked], [v1.fingerprint256, b1.fingerprint256, [v2.fingerprint256]]);
});
