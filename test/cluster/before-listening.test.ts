import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Channel, type Plane, Worker, type WorkerMethods } from '../../src/cluster/index.ts';
import { bounded } from '../support/swivel.ts';
import { freshIdentity, storeOf } from '../tls/support/identities.ts';
import { Post } from './support/post.ts';

test('a worker that has what it is to serve may tidy up before it accepts connections', bounded, async () => {
  const store = await storeOf([await freshIdentity('a'), await freshIdentity('b')]);
  const events: unknown[] = [];
  const plane = { store, open: async () => void events.push('open'), stop: async () => ({ cut: 0 }) };
  const [there, back] = [new Post(), new Post()];
  const wire = (to: Post, from: Post) => ({ send: to.send.bind(to), receive: from.receive.bind(from) });
  const worker = new Worker(wire(back, there), {
    version: '1.0.0',
    begin: () => {},
    createPlane: () => plane as unknown as Plane,
    beforeListening: (certificates) => void events.push(certificates),
    vitals: () => ({ memory: 1, cpu: 1, counts: null }),
  });
  const primary = new Channel<WorkerMethods>(wire(there, back), {});
  await primary.call('configure', null);
  await primary.call('listen', null);
  assert.deepEqual(events, [2, 'open']);
  await worker.stop();
});
