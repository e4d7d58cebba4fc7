import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Conditions } from '../../src/observe/index.ts';

test('ready when every required condition is there and True; others do not matter', () => {
  const conditions = new Conditions(['Serving', 'Valid']);
  assert.equal(conditions.ready, false);
  conditions.set('Serving', true, 'Listening', '');
  assert.equal(conditions.ready, false, 'one was never set');
  conditions.set('Valid', true, 'Valid', '');
  assert.equal(conditions.ready, true);
  conditions.set('DiskInSync', false, 'Rejected', '');
  assert.equal(conditions.ready, true);
  conditions.set('Valid', false, 'Expired', '');
  assert.equal(conditions.ready, false);
});

test('the transition time moves when the status does, and only then', (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: 1000 });
  const conditions = new Conditions(['Serving']);
  const times: (string | undefined)[] = [];
  const set = (status: boolean, reason: string) => {
    conditions.set('Serving', status, reason, `because of ${reason}`);
    const [only, ...more] = conditions.list();
    assert.deepEqual(more, []);
    assert.deepEqual([only?.status, only?.reason], [status ? 'True' : 'False', reason]);
    assert.equal(only?.message, `because of ${reason}`);
    times.push(only?.lastTransitionTime);
    t.mock.timers.tick(1000);
  };
  set(false, 'Starting');
  set(false, 'StillStarting');
  set(true, 'Listening');
  set(true, 'Listening');
  set(false, 'Stopping');
  const at = (ms: number) => new Date(ms).toISOString();
  assert.deepEqual(times, [at(1000), at(1000), at(3000), at(3000), at(5000)]);
});
