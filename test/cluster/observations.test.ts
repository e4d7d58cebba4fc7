import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Observation, Observations } from '../../src/cluster/index.ts';

test('what is seen of handshakes is gathered for a moment and told by certificate, each once', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const told: Observation[][] = [];
  const observations = new Observations((some) => void told.push(some));
  for (let i = 0; i < 1000; i += 1) observations.note('a', 'f1', i % 10 === 0);
  observations.note('a', 'f2', false);
  observations.note('b', 'f1', true);
  assert.deepEqual(told, []);
  t.mock.timers.tick(20);
  assert.deepEqual(told, [
    [
      { id: 'a', fingerprint: 'f1', handshakes: 900, refused: 100 },
      { id: 'a', fingerprint: 'f2', handshakes: 1, refused: 0 },
      { id: 'b', fingerprint: 'f1', handshakes: 0, refused: 1 },
    ],
  ]);
  // Nothing is told twice, and nothing when there is nothing.
  t.mock.timers.tick(1000);
  assert.equal(told.length, 1);
  observations.note('a', 'f1', false);
  t.mock.timers.tick(20);
  assert.deepEqual(told[1], [{ id: 'a', fingerprint: 'f1', handshakes: 1, refused: 0 }]);
});
