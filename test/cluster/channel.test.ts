import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Channel } from '../../src/cluster/index.ts';
import { SwivelError } from '../../src/errors.ts';
import { Post, quiet } from './support/post.ts';

type Far = {
  echo(value: unknown): Promise<unknown>;
  wait(name: string): Promise<string>;
  fail(how: 'coded' | 'other' | 'unclonable' | 'unknown code'): unknown;
  note(value: unknown, handle?: object): void;
};

/** A channel with its other end. */
function pair() {
  const there = new Post();
  const back = new Post();
  const noted: { readonly value: unknown; readonly handle: object | undefined }[] = [];
  const gates = new Map<string, PromiseWithResolvers<string>>();
  const faults: unknown[] = [];
  const methods: Far = {
    echo: async (value) => value,
    wait: (name) => {
      const gate = Promise.withResolvers<string>();
      gates.set(name, gate);
      return gate.promise;
    },
    fail: (how) => {
      if (how === 'coded') throw new SwivelError('LISTEN_FAILED', 'port 1 is taken', { remedy: 'take port 2' });
      if (how === 'unclonable') return () => {};
      if (how === 'unknown code')
        throw Object.assign(new SwivelError('INTERNAL', 'of the future'), { code: 'FROM_2040' });
      throw new TypeError('a slip');
    },
    note: (value, handle) => {
      noted.push({ value, handle });
      if (value === 'fault') throw new Error('noted and regretted');
    },
  };
  const far = new Channel<Record<string, never>>(
    { send: (message) => back.send(message), receive: (listener) => there.receive(listener) },
    methods,
    (error) => void faults.push(error),
  );
  const near = new Channel<Far>(
    { send: (message, handle) => there.send(message, handle), receive: (listener) => back.receive(listener) },
    {},
  );
  return { near, far, there, back, noted, gates, faults };
}

test('calls arrive in the order in which they were made, and one that takes long does not hold up the next', async () => {
  const { near, noted, gates } = pair();
  const slow = near.call('wait', 'slow');
  near.tell('note', 1);
  const sent = { nested: new Map([['a', new Set([Buffer.from('b')])]]) };
  assert.deepEqual(await near.call('echo', sent), sent);
  assert.deepEqual([gates.size, noted.length], [1, 1]);
  for (let i = 2; i < 50; i += 1) near.tell('note', i);
  await quiet();
  assert.deepEqual(
    noted.map(({ value }) => value),
    Array.from({ length: 49 }, (_, i) => i + 1),
  );
  gates.get('slow')?.resolve('at last');
  assert.equal(await slow, 'at last');
});

test('answers find their calls, in whatever order they come', async () => {
  const { near, gates } = pair();
  const names = ['a', 'b', 'c'];
  const calls = names.map((name) => near.call('wait', name));
  await quiet();
  for (const name of names.toReversed()) gates.get(name)?.resolve(name.toUpperCase());
  assert.deepEqual(await Promise.all(calls), ['A', 'B', 'C']);
});

test('an error arrives with its code and remedy, without a stack; one that is not known is a fault', async () => {
  const { near, back } = pair();
  const sent: unknown[] = [];
  back.intercept = (message) => {
    sent.push(message['error']);
    return 'arrives';
  };
  await assert.rejects(near.call('fail', 'coded'), (error) => {
    assert.ok(error instanceof SwivelError);
    assert.deepEqual([error.code, error.message, error.remedy], ['LISTEN_FAILED', 'port 1 is taken', 'take port 2']);
    return true;
  });
  await assert.rejects(near.call('fail', 'other'), { code: 'INTERNAL', message: 'a slip' });
  await assert.rejects(near.call('fail', 'unknown code'), { code: 'INTERNAL', message: 'of the future' });
  for (const error of sent) assert.deepEqual(Object.keys(error as object), ['code', 'message', 'remedy']);
});

test('what cannot be sent as an answer is an error of the call, and the channel goes on', async () => {
  const { near } = pair();
  await assert.rejects(near.call('fail', 'unclonable'), { code: 'INTERNAL' });
  assert.equal(await near.call('echo', 1), 1);
});

test('a method that does not exist cannot be called, nor can what every object has', async () => {
  const { near, faults } = pair();
  for (const name of ['nothing', 'constructor', 'toString', '__proto__']) {
    await assert.rejects(near.call(name as 'echo', null), { code: 'INTERNAL', message: `there is no method ${name}` });
    near.tell(name as 'echo', null);
  }
  await quiet();
  assert.equal(faults.length, 4);
});

test('what a method throws that nobody waits for ends no process; it is told to who made the channel', async () => {
  const { near, faults, noted } = pair();
  near.tell('note', 'fault');
  near.tell('note', 'next');
  await quiet();
  assert.deepEqual(
    noted.map(({ value }) => value),
    ['fault', 'next'],
  );
  assert.deepEqual(
    faults.map((error) => (error as Error).message),
    ['noted and regretted'],
  );
});

test('what is no message at all is left alone', async () => {
  const { near, there, faults } = pair();
  for (const nonsense of ['text', 7, null, undefined, {}, { reply: 99 }, { call: 7 }]) there.send(nonsense);
  assert.equal(await near.call('echo', 'still there'), 'still there');
  await quiet();
  assert.equal(faults.length, 2);
});

test('a handle goes along with what is told', async () => {
  const { near, noted } = pair();
  const socket = { fd: 7 };
  near.tell('note', null, socket);
  near.tell('note', null);
  await quiet();
  assert.equal(noted[0]?.handle, socket);
  assert.equal(noted[1]?.handle, undefined);
});

test('once it is closed, what waits is rejected and nothing is sent; answers that come later are nothing any more', async () => {
  const { near, gates, noted, there } = pair();
  const waiting = [near.call('wait', 'a'), near.call('wait', 'b')];
  await quiet();
  near.close();
  for (const call of waiting) await assert.rejects(call, { code: 'WORKER_GONE' });
  gates.get('a')?.resolve('too late');
  gates.get('b')?.reject(new Error('too late as well'));
  let sent = 0;
  there.intercept = () => {
    sent += 1;
    return 'arrives';
  };
  await assert.rejects(near.call('echo', 1), { code: 'WORKER_GONE' });
  near.tell('note', 1);
  near.close();
  await quiet();
  assert.deepEqual([sent, noted.length], [0, 0]);
});
