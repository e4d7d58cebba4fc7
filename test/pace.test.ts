import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { inTurn, nextTurn, rest, within } from '../src/pace.ts';
import { memoryPair } from '../src/tls/memory-pair.ts';
import { bounded } from './support/swivel.ts';

/** A clock that only work moves on. */
function clockOf(t: TestContext): { work(milliseconds: number): void } {
  let now = performance.now() + 1000;
  t.mock.method(performance, 'now', () => now);
  return {
    work: (milliseconds) => {
      now += milliseconds;
    },
  };
}

test('steps follow each other in their order; in one turn while they are short', bounded, async (t) => {
  const { work } = clockOf(t);
  const log: string[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  const step = (name: string, milliseconds: number, then = () => {}) =>
    inTurn(() => {
      work(milliseconds);
      log.push(name);
      then();
    });
  step('short', 0.8, () => step('last', 0, resolve));
  step('longer', 1.6);
  step('third', 0);
  await nextTurn();
  assert.deepEqual(log, ['short', 'longer']);
  await promise;
  assert.deepEqual(log, ['short', 'longer', 'third', 'last']);
});

test('a step that throws does not stop those behind it', bounded, async (t) => {
  const thrown = Promise.withResolvers<unknown>();
  process.setUncaughtExceptionCaptureCallback(thrown.resolve);
  t.after(() => process.setUncaughtExceptionCaptureCallback(null));
  inTurn(() => {
    throw new Error('step');
  });
  const behind = new Promise<void>((done) => inTurn(done));
  assert.match(String(await thrown.promise), /step/);
  await behind;
});

test('long work lets others have their turn, short work does not wait for it', bounded, async (t) => {
  const { work } = clockOf(t);
  await rest();
  let others = 0;
  setImmediate(() => {
    others += 1;
  });
  work(0.5);
  await rest();
  assert.equal(others, 0);
  work(2);
  await rest();
  assert.equal(others, 1);
});

test('what comes in time is had, what fails fails, what does not come is not waited for', bounded, async () => {
  assert.equal(await within(60_000, Promise.resolve('here')), 'here');
  await assert.rejects(within(60_000, Promise.reject(new Error('broken'))), /broken/);
  const never = Promise.withResolvers<string>();
  assert.equal(await within(1, never.promise), null);
});

test(
  'what is written to one end in memory comes out of the other afterwards, and so does the end',
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
