import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { select } from '../../src/upstream/index.ts';

const targetsOf = (health: readonly boolean[]) => health.map((healthy, id) => ({ id, healthy }));
const healths = fc.array(fc.boolean(), { maxLength: 8 });

describe('select', () => {
  test('takes the healthy ones in turn', () => {
    const targets = targetsOf([true, false, true, true]);
    const taken = [0, 1, 2, 3, 4, 5].map((cursor) => select(targets, cursor, new Set())?.id);
    assert.deepEqual(taken, [0, 2, 3, 0, 2, 3]);
  });

  test('takes all in turn when none is healthy', () => {
    const targets = targetsOf([false, false]);
    assert.deepEqual(
      [0, 1, 2].map((cursor) => select(targets, cursor, new Set())?.id),
      [0, 1, 0],
    );
  });

  test('never takes one twice for a request, takes every one before it gives up, healthy ones first', () => {
    fc.assert(
      fc.property(healths, fc.nat(), (health, start) => {
        const targets = targetsOf(health);
        const tried = new Set<(typeof targets)[number]>();
        const order: boolean[] = [];
        for (let cursor = start; ; cursor++) {
          const target = select(targets, cursor, tried);
          if (!target) break;
          assert.ok(!tried.has(target));
          tried.add(target);
          order.push(target.healthy);
        }
        assert.equal(tried.size, targets.length);
        assert.deepEqual(
          order,
          [...order].sort((a, b) => Number(b) - Number(a)),
        );
      }),
    );
  });

  test('spreads evenly', () => {
    fc.assert(
      fc.property(healths, fc.nat(1000), (health, start) => {
        const targets = targetsOf(health);
        const eligible = health.includes(true) ? targets.filter(({ healthy }) => healthy) : targets;
        const taken = new Map<unknown, number>();
        for (let cursor = start; cursor < start + eligible.length * 3; cursor++) {
          const target = select(targets, cursor, new Set());
          taken.set(target, (taken.get(target) ?? 0) + 1);
        }
        for (const target of eligible) assert.equal(taken.get(target), 3);
      }),
    );
  });
});
