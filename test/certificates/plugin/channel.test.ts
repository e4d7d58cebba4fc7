import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type Duplex, duplexPair } from 'node:stream';
import { test } from 'node:test';
import { Channel } from '../../../src/certificates/plugin/channel.ts';

interface End {
  readonly channel: Channel;
  readonly messages: unknown[];
  readonly ended: Promise<Error | null>;
}

function over(stream: Duplex, longest = 1000): End {
  const messages: unknown[] = [];
  const { promise, resolve } = Promise.withResolvers<Error | null>();
  const heard = (message: unknown) => {
    if (message === 'refuse') throw new Error('refused');
    messages.push(message);
  };
  return { channel: new Channel(stream, { longest, heard, ended: resolve }), messages, ended: promise };
}

test('messages arrive whole and in order, wherever the pipe cuts them', async () => {
  const sent = [{ text: 'first\nlast é 😀 \ud800' }, {}, { deep: [[1, null]] }];
  const bytes = Buffer.from(sent.map((one) => `${JSON.stringify(one)}\n`).join(''));
  for (let at = 1; at < bytes.length; at += 1) {
    const [ours, theirs] = duplexPair();
    const { messages, ended } = over(ours);
    theirs.write(bytes.subarray(0, at));
    theirs.end(bytes.subarray(at));
    theirs.resume();
    ours.end();
    assert.equal(await ended, null);
    assert.deepEqual(messages, sent);
  }
});

test('what is sent is received', async () => {
  const [ours, theirs] = duplexPair();
  const { channel } = over(ours);
  const { messages } = over(theirs);
  await channel.send({ kind: 'close' });
  if (messages.length === 0) await once(theirs, 'data');
  assert.deepEqual(messages, [{ kind: 'close' }]);
});

for (const [what, text] of [
  ['is no JSON', 'nonsense\n'],
  ['is refused by who hears it', '"refuse"\n'],
  ['is too long', `"${'x'.repeat(1000)}"\n`],
  ['never ends', 'x'.repeat(1001)],
] as const) {
  test(`a message that ${what} breaks the channel, and nothing after it is heard`, async () => {
    const [ours, theirs] = duplexPair();
    const { channel, messages, ended } = over(ours);
    theirs.write(`1\n${text}`);
    theirs.write('2\n');
    assert.ok((await ended) instanceof Error);
    assert.deepEqual(messages, [1]);
    assert.ok(ours.destroyed);
    await channel.send({});
  });
}
