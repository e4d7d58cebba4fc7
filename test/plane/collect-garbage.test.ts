import assert from 'node:assert/strict';
import { test } from 'node:test';
import { getHeapSpaceStatistics } from 'node:v8';
import { collectGarbage } from '../../src/plane/collect-garbage.ts';

function newSpace(): number {
  return getHeapSpaceStatistics().find(({ space_name: name }) => name === 'new_space')?.space_size ?? 0;
}

/** Makes many objects that live for a while, as reading does. */
function allocate(): number {
  let kept: object[] = [];
  let made = 0;
  for (let i = 0; i < 2_000_000; i += 1) {
    kept.push({ i });
    if (kept.length === 100_000) [made, kept] = [made + kept.length, []];
  }
  return made;
}

test('after thousands of certificates were read, the memory set aside for short-lived objects is given back', () => {
  allocate();
  const grown = newSpace();
  collectGarbage(10);
  assert.equal(newSpace(), grown, 'of a few there is nothing to give back');
  collectGarbage(10_000);
  assert.ok(newSpace() < grown / 2, `${grown} before, ${newSpace()} after`);
  assert.equal('gc' in globalThis, false);
});
