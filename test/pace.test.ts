import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { inTurn, nextTurn, Pace } from '../src/pace.ts';
import { memoryPair } from '../src/tls/memory-pair.ts';
import { bounded } from './support/swivel.ts';

test('each step has a turn of the event loop of its own, whoever wants it', bounded, async () => {
  const log: string[] = [];
  let turn = 0;
  const steps = Promise.withResolvers<void>();
  const step = (name: string, then = () => {}) => {
    inTurn(() => {
      log.push(`${name} in turn ${turn}`);
      then();
    });
  };
  step('a', () => step('c'));
  step('b');
  step('', steps.resolve);
  for (; log.length < 4; turn += 1) await nextTurn();
  await steps.promise;
  const turns = log.map((line) => line.split(' ').at(-1));
  assert.deepEqual(
    log.map((line) => line.split(' ')[0]),
    ['a', 'b', '', 'c'],
  );
  assert.equal(new Set(turns).size, 4);
});

test('long work lets others have their turn, short work does not wait for it', bounded, async () => {
  const pace = new Pace();
  let others = 0;
  const other = setImmediate(() => {
    others += 1;
  });
  await pace.rest();
  assert.equal(others, 0);
  for (const end = performance.now() + 3; performance.now() < end; );
  await pace.rest();
  assert.equal(others, 1);
  clearImmediate(other);
});

test(
  'what is written to one end in memory comes out of the other in later turns, and so does the end',
  bounded,
  async () => {
    const [near, far] = memoryPair();
    let received = '';
    far.setEncoding('utf8').on('data', (text) => {
      received += text;
    });
    const written = new Promise((done) => near.write('hello', done));
    await Promise.resolve();
    assert.equal(received, '');
    await written;
    assert.equal(received, 'hello');
    near.end();
    await once(far, 'end');
    near.destroy();
    far.write('to nobody');
    far.end();
    await once(far, 'close');
  },
);
