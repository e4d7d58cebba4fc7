import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { connect, createServer, type TLSSocket } from 'node:tls';
import { lendReads, unlendReads } from '../../src/tls/index.ts';
import { bounded } from '../support/swivel.ts';
import { authority } from './support/identities.ts';

/** Both ends of a connection: the server's, of which the reads are lent, and the client's. */
async function pair(t: TestContext): Promise<{ secure: TLSSocket; client: TLSSocket }> {
  const { chainPem, keyPem } = await (await authority()).issue({ names: ['a.test'] });
  const server = createServer({ cert: chainPem, key: keyPem }).listen(0, '127.0.0.1');
  t.after(() => server.close());
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const accepted = once(server, 'secureConnection');
  const client = connect({ port, host: '127.0.0.1', servername: 'a.test', rejectUnauthorized: false });
  t.after(() => client.destroy());
  const [secure] = await accepted;
  return { secure, client };
}

/** Has reads lent, and tells what came: a copy, and what was lent. */
function lend(secure: TLSSocket) {
  const lent: Buffer[] = [];
  const texts: string[] = [];
  const waiting: (() => void)[] = [];
  const came = lendReads(secure, (octets) => {
    lent.push(octets);
    texts.push(octets.toString());
    for (const tell of waiting.splice(0)) tell();
  });
  const next = () => new Promise<void>((resolve) => waiting.push(resolve));
  return { came, lent, texts, next };
}

test('on this Node, what is read lies in one buffer, and no data event is made of it', bounded, async (t) => {
  const pairs = [await pair(t), await pair(t)];
  const buffers = new Set<ArrayBufferLike>();
  for (const { secure, client } of pairs) {
    secure.on('data', () => assert.fail('a data event'));
    const { came, lent, texts, next } = lend(secure);
    assert.equal(came, true);
    const read = next();
    client.write('hello');
    await read;
    assert.deepEqual(texts, ['hello']);
    for (const { buffer } of lent) buffers.add(buffer);
  }
  assert.equal(buffers.size, 1);
});

test('what came before comes as data events, and the end as an end event', bounded, async (t) => {
  const { secure, client } = await pair(t);
  const readable = once(secure, 'readable');
  client.write('before');
  await readable;
  const { texts, next } = lend(secure);
  const [data] = await once(secure, 'data');
  assert.equal(String(data), 'before');
  const read = next();
  client.write('after');
  await read;
  client.end();
  await once(secure, 'end');
  assert.deepEqual(texts, ['after']);
});

test('a paused socket reads no more, and reads on when it is resumed', bounded, async (t) => {
  const { secure, client } = await pair(t);
  let read = 0;
  const size = 8 * 1024 * 1024;
  const { promise, resolve } = Promise.withResolvers<void>();
  const take = (octets: Buffer) => {
    read += octets.length;
    if (read === octets.length) secure.pause();
    if (read === size) resolve();
  };
  // What was deciphered together with the first piece comes as data events, when the socket is resumed.
  secure.on('data', take);
  lendReads(secure, take);
  client.write(Buffer.alloc(size));
  await once(secure, 'pause');
  const first = read;
  for (let turn = 0; turn < 100; turn += 1) await nextTurn();
  assert.equal(read, first);
  assert.ok(client.writableLength > 0);
  secure.resume();
  await promise;
});

test(
  'once they are not lent any more, each data event has memory of its own, and back-pressure holds',
  bounded,
  async (t) => {
    const { secure, client } = await pair(t);
    lendReads(secure, () => assert.fail('still lent'));
    unlendReads(secure);
    const pieces: Buffer[] = [];
    for (const text of ['one', 'two']) {
      const data = once(secure, 'data');
      client.write(text);
      pieces.push((await data)[0]);
    }
    assert.deepEqual(pieces.map(String), ['one', 'two']);
    secure.removeAllListeners('data');
    secure.pause();
    const size = 8 * 1024 * 1024;
    client.write(Buffer.alloc(size));
    let read = 0;
    for await (const chunk of secure) {
      assert.ok(secure.readableLength < size / 4, 'more was read than was asked for');
      read += chunk.length;
      if (read === size) break;
    }
  },
);

test('a socket that has no such slots goes on as before', bounded, async (t) => {
  const { secure, client } = await pair(t);
  const handle = (secure as TLSSocket & { _handle: { useUserBuffer?: unknown } })._handle;
  Object.defineProperty(handle, 'useUserBuffer', { value: undefined });
  assert.equal(
    lendReads(secure, () => assert.fail('lent')),
    false,
  );
  unlendReads(secure);
  const data = once(secure, 'data');
  client.write('hello');
  assert.equal(String((await data)[0]), 'hello');
});
