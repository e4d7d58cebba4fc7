import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SpeedProbe } from '../support/speed.ts';
import { undisturbed } from './undisturbed.ts';

async function take(slowdowns: readonly number[], once?: boolean) {
  let taken = 0;
  let asked = 0;
  const sample = await undisturbed(
    async () => ({ cpu: ++taken }),
    // Before a sample nobody wants to know.
    async () => (asked++ % 2 === 0 ? 99 : (slowdowns[taken - 1] ?? 1)),
    once,
  );
  return { taken, sample };
}

test('a sample that was left alone is taken once', async () => {
  assert.deepEqual(await take([1.1]), { taken: 1, sample: { cpu: 1, slowdown: 1.1 } });
});

test('one that was disturbed is taken again, until it was left alone', async () => {
  assert.deepEqual(await take([1.9, 1.6, 1]), { taken: 3, sample: { cpu: 3, slowdown: 1 } });
});

test('where that does not happen, the one that was slowed least counts', async () => {
  assert.deepEqual(await take([1.9, 1.3, 1.6, 1.8, 1]), { taken: 4, sample: { cpu: 2, slowdown: 1.3 } });
  assert.deepEqual(await take([1.9, 1], true), { taken: 1, sample: { cpu: 1, slowdown: 1.9 } });
});

test('the probe tells a slowdown of at least one, and ends when it is told to', async () => {
  const probe = new SpeedProbe(undefined);
  assert.ok((await probe.slowdown()) >= 1);
  probe.stop();
});
