import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Respawn } from '../../src/cluster/index.ts';

const longest = () => new Respawn(() => 1);
const shortest = () => new Respawn(() => 0);

test('who never served is tried again later and later, up to half a minute', () => {
  const respawn = longest();
  const delays = Array.from({ length: 12 }, () => respawn.delayAfter(false, 0));
  assert.deepEqual(delays, [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000, 30_000]);
  assert.equal(respawn.failures, 12);
});

test('a worker that serves makes the next failure the first one again', () => {
  const respawn = longest();
  for (let i = 0; i < 5; i += 1) respawn.delayAfter(false, 0);
  respawn.served();
  assert.equal(respawn.failures, 0);
  assert.equal(respawn.delayAfter(false, 0), 100);
});

test('who had served is replaced at once, ten in a row; further ones wait longer and longer', () => {
  const respawn = longest();
  for (let i = 0; i < 10; i += 1) assert.equal(respawn.delayAfter(true, 0), 0);
  const delays = Array.from({ length: 3 }, () => respawn.delayAfter(true, 0));
  assert.deepEqual(delays, [200, 400, 800]);
  assert.equal(respawn.failures, 0);
});

test('one death a second is forgiven, for ever', () => {
  const respawn = longest();
  for (let second = 0; second < 1000; second += 1) assert.equal(respawn.delayAfter(true, second * 1000), 0);
});

test('after a burst, quiet seconds count, but no more than ten of them', () => {
  const respawn = longest();
  for (let i = 0; i < 13; i += 1) respawn.delayAfter(true, 0);
  // Three owed; five seconds later there are two to spare.
  assert.deepEqual(
    [0, 0, 0].map(() => respawn.delayAfter(true, 5000)),
    [0, 0, 200],
  );
  for (let i = 0; i < 10; i += 1) assert.equal(respawn.delayAfter(true, 1_000_000), 0);
  assert.ok(respawn.delayAfter(true, 1_000_000) > 0);
});

test('a delay is at least half of what it could be, at most half a minute, and never less than nothing', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({ served: fc.boolean(), after: fc.nat(5000), random: fc.double({ min: 0, max: 1, noNaN: true }) }),
      ),
      (deaths) => {
        const mine = { low: shortest(), high: longest() };
        let now = 0;
        for (const { served, after, random } of deaths) {
          now += after;
          const low = mine.low.delayAfter(served, now);
          const high = mine.high.delayAfter(served, now);
          assert.ok(low >= 0 && high <= 30_000 && low * 2 === high, `${low} ${high} ${random}`);
        }
      },
    ),
  );
});
