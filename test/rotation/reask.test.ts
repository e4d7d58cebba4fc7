import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bounded, eventually, settle } from '../support/swivel.ts';
import { authority, hour, materialOf } from '../tls/support/identities.ts';
import { FakeSource, rotation, watching } from './support/rotation.ts';

const issuer = await authority();
const names = ['a.test'];
const [v1, v2, b1] = await issuer.issueMany([{ names }, { names }, { names: ['b.test'] }]);
if (!v1 || !v2 || !b1) throw new Error('three were issued');

/** Sources that are followed without events, and a clock that the test moves. */
async function following(
  t: Parameters<typeof rotation>[0] & { mock: import('node:test').MockTracker },
  ...sources: FakeSource[]
) {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let clock = Date.now();
  const rotating = rotation(t, sources, { now: () => clock, loadTimeout: hour * 24 });
  const { reconciler, log } = rotating;
  await reconciler.runOnce('start');
  reconciler.follow(watching(t, log, { mode: 'off' }));
  await reconciler.runOnce('event');
  const pass = (ms: number) => {
    clock += ms;
    t.mock.timers.tick(ms);
  };
  return { ...rotating, pass, now: () => clock };
}

const asking = (leaf = v1) => new FakeSource('s', materialOf('a', leaf, 's'));

test(
  'a source that gives a time is asked again by then, a little earlier, and without any event',
  bounded,
  async (t) => {
    const source = asking();
    source.askAgainAt = Date.now() + hour;
    const { pass, log, servedBy } = await following(t, source);
    const { loads } = source;
    pass(0.94 * hour);
    await settle();
    assert.equal(source.loads, loads);
    source.identities = [materialOf('a', v2, 's')];
    source.askAgainAt = null;
    pass(0.07 * hour);
    assert.equal((await log.until('rotation', 'a'))['trigger'], 'schedule');
    assert.equal(servedBy('a.test')?.leaf.fingerprint256, v2.fingerprint256);
    assert.equal(source.loads, loads + 1);
    pass(10 * hour);
    await settle();
    assert.equal(source.loads, loads + 1);
  },
);

test(
  'a time that is past, or comes over and over, is asked for once a second at most, and of nobody else',
  bounded,
  async (t) => {
    const source = asking();
    const other = new FakeSource('o', materialOf('b', b1, 'o'));
    source.askAgainAt = 0;
    const { pass } = await following(t, source, other);
    const before = [source.loads, other.loads];
    for (let i = 1; i <= 5; i++) {
      pass(999);
      await settle();
      assert.equal(source.loads, (before[0] ?? 0) + i - 1);
      pass(1);
      await eventually(() => source.loads === (before[0] ?? 0) + i);
      await settle();
    }
    assert.equal(other.loads, before[1]);
  },
);

test('a source that fails is asked again ever more rarely, then as it wants to be', bounded, async (t) => {
  const source = asking();
  source.askAgainAt = 0;
  const { pass } = await following(t, source);
  let failing = true;
  const load = source.load.bind(source);
  source.load = async () => {
    const material = await load();
    if (failing) throw new Error('out of order');
    return material;
  };
  const asked = async (wait: number) => {
    const { loads } = source;
    pass(wait - 1);
    await settle();
    assert.equal(source.loads, loads, `before ${wait} ms`);
    pass(1);
    await eventually(() => source.loads === loads + 1);
    await settle();
  };
  for (const wait of [1000, 25, 50, 100, 200, 400, 800]) await asked(wait);
  failing = false;
  await asked(1600);
  await asked(1000);
});

test('a source that stays broken is not asked more often because another one wants to be asked', bounded, async (t) => {
  const busy = asking();
  busy.askAgainAt = 0;
  const broken = new FakeSource('o');
  broken.load = () => {
    broken.loads += 1;
    return Promise.reject(new Error('out of order'));
  };
  const { pass } = await following(t, busy, broken);
  for (const wait of [25, 50, 100, 200, 400, 800, 1600, 3200, 6400]) {
    pass(wait);
    await settle();
    await settle();
  }
  const { loads } = broken;
  const before = busy.loads;
  for (let i = 0; i < 10; i++) {
    pass(1000);
    await settle();
    await settle();
  }
  assert.ok(busy.loads >= before + 9);
  assert.equal(broken.loads, loads);
});

test('a source that hangs, or throws, keeps no other from being asked', bounded, async (t) => {
  const hanging = new FakeSource('h');
  const throwing = new FakeSource('x');
  const source = asking();
  source.askAgainAt = 0;
  const { pass, servedBy } = await following(t, hanging, throwing, source);
  hanging.load = () => new Promise(() => {});
  throwing.load = () => {
    throw new Error('at once');
  };
  source.identities = [materialOf('a', v2, 's')];
  pass(1000);
  await eventually(() => servedBy('a.test')?.leaf.fingerprint256 === v2.fingerprint256);
});
