import assert from 'node:assert/strict';
import { test } from 'node:test';
import { freshIdentity } from '../tls/support/identities.ts';
import { quiet } from './support/post.ts';
import { scene } from './support/scene.ts';

test('a worker that is being brought up to date is asked to cut, and its connections are counted', async (t) => {
  const [served, renewed] = [await freshIdentity('a'), await freshIdentity('a')];
  const s = scene(t, { size: 2 });
  await s.publish(served);
  await s.open();
  const missing = s.process(2);
  missing.failsIn.prepare = new Error('out of memory');
  await assert.rejects(s.prepare([renewed]), { code: 'WORKER_REFUSED' });
  missing.failsIn.prepare = undefined;
  const gate = Promise.withResolvers<void>();
  missing.gates.prepare = gate.promise;
  await s.publish(renewed);
  await quiet();
  assert.equal((await s.fleet.summaries()).length, 2);
  await s.publisher.cut(new Set([served.fingerprint]));
  assert.deepEqual([s.process(1).count('cut'), missing.count('cut')], [1, 1]);
  gate.resolve();
  await quiet();
  assert.equal(s.fleet.inSync, true);
});
