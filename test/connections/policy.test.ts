import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  type DrainFacts,
  type DrainOptions,
  type DrainPlan,
  drainStep,
  earliest,
  idleQuiet,
  type Protocol,
  planCut,
  planRetirement,
  planStop,
} from '../../src/connections/policy.ts';

const options: DrainOptions = { timeout: 30_000, spread: 5_000, upgraded: 3_600_000 };
const busy = (protocol: Protocol, asked = true): DrainFacts => ({ protocol, idleSince: null, asked });
const idle = (protocol: Protocol, since: number, asked = true): DrainFacts => ({ protocol, idleSince: since, asked });

const anyOptions = fc.record({
  timeout: fc.integer({ min: 0, max: 600_000 }),
  spread: fc.integer({ min: 0, max: 600_000 }),
  upgraded: fc.integer({ min: 0, max: 7_200_000 }),
});
const anyNow = fc.integer({ min: 0, max: 10 ** 9 });
const anyRandom = fc.double({ min: 0, max: 1, noNaN: true });
const anyPlan = fc
  .tuple(fc.constantFrom(planRetirement, planStop), anyNow, anyOptions, anyRandom)
  .map(([plan, now, drain, random]) => ({ plan: plan(now, drain, random), now, drain }));
const open = fc.constantFrom<Protocol>('handshake', 'http/1.1', 'h2');

describe('plans', () => {
  test('ask first, close idle ones afterwards, cut last', () => {
    fc.assert(
      fc.property(anyPlan, ({ plan, now, drain }) => {
        assert.ok(now <= plan.askAt && plan.askAt <= plan.closeIdleAt && plan.closeIdleAt <= plan.cutAt);
        assert.equal(plan.cutAt, now + drain.timeout);
      }),
    );
  });

  test('a retirement spreads its asking over the spread, and never over more than half of the time', () => {
    assert.equal(planRetirement(0, options, 0).askAt, 0);
    assert.equal(planRetirement(0, options, 1).askAt, 5_000);
    assert.equal(planRetirement(0, { ...options, spread: 600_000 }, 1).askAt, 15_000);
  });

  test('a stop asks everyone at once, and cuts upgraded connections with the others', () => {
    const plan = planStop(100, options, 0.7);
    assert.equal(plan.askAt, 100);
    assert.equal(plan.cutUpgradedAt, plan.cutAt);
  });

  test('a retirement leaves upgraded connections their own, longer time', () => {
    assert.equal(planRetirement(100, options, 0).cutUpgradedAt, 3_600_100);
  });

  test('what may not live on is asked, closed and cut at one moment, within half a second', () => {
    fc.assert(
      fc.property(anyNow, anyRandom, (now, random) => {
        const { cutAt, ...rest } = planCut(now, random);
        assert.ok(now <= cutAt && cutAt <= now + 500);
        assert.deepEqual(rest, { askAt: cutAt, closeIdleAt: cutAt, cutUpgradedAt: cutAt });
      }),
    );
  });

  test('of two plans for one connection, no part comes later than in either', () => {
    fc.assert(
      fc.property(anyPlan, anyPlan, ({ plan: a }, { plan: b }) => {
        const both = earliest(a, b);
        for (const key of ['askAt', 'closeIdleAt', 'cutAt', 'cutUpgradedAt'] as const) {
          assert.equal(both[key], Math.min(a[key], b[key]));
        }
        assert.ok(both.askAt <= both.closeIdleAt && both.closeIdleAt <= both.cutAt);
      }),
    );
  });
});

describe('steps', () => {
  const plan: DrainPlan = { askAt: 1_000, closeIdleAt: 20_000, cutAt: 30_000, cutUpgradedAt: 90_000 };

  test('nobody is asked before the time, and each is asked once', () => {
    assert.equal(drainStep(plan, busy('http/1.1', false), 999), 'wait');
    assert.equal(drainStep(plan, busy('http/1.1', false), 1_000), 'ask');
    assert.equal(drainStep(plan, busy('http/1.1', true), 1_000), 'wait');
  });

  test('an idle connection is not closed before it was quiet for a while: a request may be on its way', () => {
    assert.equal(drainStep(plan, idle('http/1.1', 20_500), 20_500 + idleQuiet - 1), 'wait');
    assert.equal(drainStep(plan, idle('http/1.1', 20_500), 20_500 + idleQuiet), 'close');
    assert.equal(drainStep(plan, idle('http/1.1', 0), 19_999), 'wait');
  });

  test('what is in flight is left alone until the deadline, and cut then', () => {
    assert.equal(drainStep(plan, busy('http/1.1'), 29_999), 'wait');
    assert.equal(drainStep(plan, busy('http/1.1'), 30_000), 'cut');
    assert.equal(drainStep(plan, busy('h2'), 30_000), 'cut');
  });

  test('at the deadline an idle connection is closed politely, and a handshake is cut', () => {
    assert.equal(drainStep(plan, idle('http/1.1', 29_999), 30_000), 'close');
    assert.equal(drainStep(plan, idle('handshake', 0, false), 29_999), 'wait');
    assert.equal(drainStep(plan, idle('handshake', 0, false), 30_000), 'cut');
  });

  test('an upgraded connection is neither asked nor closed, only cut at its own deadline', () => {
    assert.equal(drainStep(plan, busy('upgraded', false), 89_999), 'wait');
    assert.equal(drainStep(plan, busy('upgraded', false), 90_000), 'cut');
  });

  test('every drain ends: from the deadline on there is no more waiting, whatever the facts', () => {
    fc.assert(
      fc.property(
        anyPlan,
        open,
        fc.option(anyNow),
        fc.boolean(),
        fc.nat(10 ** 6),
        (given, protocol, since, asked, late) => {
          const facts = { protocol, idleSince: since, asked };
          assert.ok(['cut', 'close'].includes(drainStep(given.plan, facts, given.plan.cutAt + late)));
          const upgraded = { ...facts, protocol: 'upgraded' as const };
          assert.equal(drainStep(given.plan, upgraded, given.plan.cutUpgradedAt + late), 'cut');
        },
      ),
    );
  });

  test('before the deadline nothing in flight is ever ended', () => {
    fc.assert(
      fc.property(anyPlan, open, fc.boolean(), anyRandom, ({ plan: made, now }, protocol, asked, part) => {
        const at = now + (made.cutAt - now) * part;
        fc.pre(at < made.cutAt);
        assert.ok(['wait', 'ask'].includes(drainStep(made, { protocol, idleSince: null, asked }, at)));
      }),
    );
  });
});
