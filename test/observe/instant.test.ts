import assert from 'node:assert/strict';
import { test } from 'node:test';
import { instant } from '../../src/observe/instant.ts';

test('an instant is written as Date writes it, whatever was written before', () => {
  const times = [0, 1, 999, 1000, 1_795_300_000_000, 1_795_300_000_007, 1_795_300_000_042, 1_795_300_000_999, 5];
  for (const time of [...times, ...times.toReversed()]) assert.equal(instant(time), new Date(time).toISOString());
});
