import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, type TestContext, test } from 'node:test';
import { connectRaw, valuesOfField } from '../../support/raw-client.ts';
import { bounded, controlTime, eventually, metricOf, startFrontDoor, valuesOf } from '../../support/swivel.ts';
import { response, type Script, startUpstream } from '../../support/upstream.ts';
import { fill } from '../support/fill.ts';
import type { Setup } from '../support/paths.ts';

const host = 'Host: app.test\r\n';
const get = (path = '/') => `GET ${path} HTTP/1.1\r\n${host}\r\n`;
const chunkedPost = (path = '/') => `POST ${path} HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n`;
const megabyte = 1024 * 1024;

async function setUp(t: TestContext, script: Script, proxy: Setup['proxy'] = {}) {
  const upstream = await startUpstream(t, script);
  const door = await startFrontDoor(t, { upstream: upstream.url, proxy });
  return { upstream, door, client: await connectRaw(t, door) };
}

describe('the head of a plain request', () => {
  for (const pieces of [2, 3, 8, 9, 30, Number.POSITIVE_INFINITY]) {
    test(`in ${pieces} pieces is the same`, bounded, async (t) => {
      const { client, upstream } = await setUp(t, ({ path }) => response(path));
      const text = get('/a');
      const size = Math.max(1, Math.ceil(text.length / pieces));
      for (let at = 0; at < text.length; at += size) {
        await new Promise((done) => client.socket.write(text.slice(at, at + size), done));
      }
      assert.equal((await client.response()).body, '/a');
      assert.equal((await client.request(get('/b'))).body, '/b');
      assert.deepEqual(
        upstream.requests.map(({ line }) => line),
        ['GET /a HTTP/1.1', 'GET /b HTTP/1.1'],
      );
    });
  }

  for (const [name, before] of Object.entries({ first: '', second: get() })) {
    test(`that does not come to its end is refused, as the ${name} of a connection`, bounded, async (t) => {
      const time = controlTime(t);
      const { client, door } = await setUp(t, () => response(), { headersTimeout: 100 });
      if (before) await client.request(before);
      client.send('GET / HTTP/1.1\r\nHo');
      // Octet by octet does not make it faster.
      for (const octet of 'st: ') {
        await eventually(() => door.connections.accepted.length === 1);
        await time.pass(60);
        client.send(octet);
      }
      assert.equal((await client.response()).status, 408);
      client.socket.end();
      assert.deepEqual(await client.closed, { error: null });
      assert.equal(await metricOf(door.metrics.requests, { code: '408' }), 1);
    });
  }

  test('is kept while others send theirs: what is read is lent', bounded, async (t) => {
    const { client, door, upstream } = await setUp(t, ({ path }) => response(path));
    const other = await connectRaw(t, door);
    const text = get('/a');
    await new Promise((done) => client.socket.write(text.slice(0, 20), done));
    assert.equal((await other.request(get(`/${'b'.repeat(100)}`))).status, 200);
    assert.equal((await client.request(text.slice(20))).body, '/a');
    assert.equal(upstream.requests.at(-1)?.line, 'GET /a HTTP/1.1');
  });

  test('is not waited for beyond idleTimeout: the connection ends without a word', bounded, async (t) => {
    const time = controlTime(t);
    const { client } = await setUp(t, () => response(), { headersTimeout: 100, idleTimeout: 1000 });
    await client.request(get());
    for (const _ of [1, 2, 3]) await time.pass(300);
    await client.request(get());
    for (const _ of [1, 2]) await time.pass(1000);
    assert.deepEqual(await client.closed, { error: null });
    assert.ok(client.drained);
  });

  test('behind a body in the same packet begins where the body ends', bounded, async (t) => {
    const { client, upstream } = await setUp(t, ({ path }) => response(path));
    const sized = `POST /1 HTTP/1.1\r\n${host}Content-Length: 5\r\n\r\nhello`;
    const chunks = `${chunkedPost('/2')}5;x=y\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n`;
    const empty = `${chunkedPost('/3')}0\r\n\r\n`;
    client.send(sized + chunks + empty + get('/4') + sized);
    for (const path of ['/1', '/2', '/3', '/4', '/1']) assert.equal((await client.response()).body, path);
    assert.ok(client.drained);
    assert.deepEqual(await Promise.all(upstream.requests.map(async ({ path, body }) => [path, await body])), [
      ['/1', 'hello'],
      ['/2', '5\r\nhello\r\n0\r\n\r\n'],
      ['/3', ''],
      ['/4', ''],
      ['/1', 'hello'],
    ]);
  });

  test('whose connection is drained is answered with a goodbye', bounded, async (t) => {
    const { client, door } = await setUp(t, () => response());
    assert.deepEqual(valuesOfField(await client.request(get()), 'connection'), ['keep-alive']);
    const [connection] = door.connections.accepted;
    door.connections.retire(new Set([connection?.certificate?.fingerprint ?? '']));
    assert.equal(connection?.last, true);
    client.send(get() + get('/never'));
    assert.deepEqual(valuesOfField(await client.response(), 'connection'), ['close']);
    client.socket.end();
    assert.deepEqual(await client.closed, { error: null });
    assert.ok(client.drained);
  });
});

describe('a plain body that is none', () => {
  test(
    'is answered so that the client can read it, though it still sends; and the connection ends',
    bounded,
    async (t) => {
      const { client, upstream, door } = await setUp(t, () => undefined);
      client.send(`${chunkedPost()}5\r\nhello\r\n`);
      await upstream.next();
      client.socket.pause();
      client.send('nonsense\r\n');
      await new Promise((done) => client.socket.write(Buffer.alloc(4 * megabyte), done));
      client.socket.resume();
      assert.equal((await client.response()).status, 400);
      client.socket.end();
      assert.deepEqual(await client.closed, { error: null });
      assert.deepEqual(await valuesOf(door.metrics.requests), { 'POST,400': 1 });
    },
  );

  test('ends the connection when it was answered before, and what follows is no request', bounded, async (t) => {
    const { client, upstream } = await setUp(t, () => response('no'));
    assert.equal((await client.request(`${chunkedPost()}5\r\nhello\r\n`)).body, 'no');
    client.send(`nonsense\r\n0\r\n\r\n${get('/smuggled')}`);
    await once(client.socket, 'end');
    await client.closed;
    assert.ok(client.drained);
    assert.equal(upstream.requests.length, 1);
  });
});

describe('the body of a plain request', () => {
  const piece = '0123456789abcdef'.repeat(4096);
  const parts = 256;
  const ways = {
    'of a known length': [`Content-Length: ${parts * piece.length}\r\n\r\n`, piece, ''],
    'in chunks': ['Transfer-Encoding: chunked\r\n\r\n', `10000\r\n${piece}\r\n`, '0\r\n\r\n'],
  };
  for (const [name, [framing = '', part = '', end = '']] of Object.entries(ways)) {
    test(`${name}, waits for a slow upstream, and is not touched by what others send`, bounded, async (t) => {
      const { client, door, upstream } = await setUp(t, ({ path, connection }) => {
        if (path !== '/slow') return response();
        connection.socket.pause();
        return undefined;
      });
      client.send(`POST /slow HTTP/1.1\r\n${host}${framing}`);
      const request = await upstream.next();
      const sent = await fill(client.socket, parts * part.length, Buffer.from(part));
      assert.ok(sent > 0 && client.socket.writableNeedDrain, 'the upstream should be full');
      const other = await connectRaw(t, door);
      for (let i = 0; i < 3; i += 1) await other.request(get(`/${'z'.repeat(10_000)}`));
      client.send(part.repeat(parts - sent / part.length) + end);
      request.connection.socket.resume();
      const body = (await request.body).replaceAll(/(^|\r\n)[0-9a-f]+\r\n/g, '').trimEnd();
      assert.ok(body === piece.repeat(parts));
    });
  }
});

describe('a client that reads slowly', () => {
  test('is given 10 MiB whole, while a bounded part of it waits in memory', bounded, async (t) => {
    const size = 10 * megabyte;
    const text = 'HTTP/1.1 200 OK\r\nContent-Length: 10485760\r\n\r\n';
    const { client, door, upstream } = await setUp(t, ({ connection }) => {
      connection.socket.write(text);
      connection.socket.write(Buffer.alloc(size, '0123456789abcdef'));
    });
    client.socket.removeAllListeners('data');
    let received = 0;
    let most = 0;
    client.socket.on('data', (chunk: string) => {
      received += chunk.length;
      most = Math.max(most, door.connections.accepted[0]?.secure?.writableLength ?? 0);
      client.socket.pause();
      setImmediate(() => client.socket.resume());
    });
    client.send(get());
    await eventually(() => received > size);
    assert.ok(most < megabyte, `${most} octets waited`);
    await eventually(async () => (await metricOf(door.metrics.requestsInFlight)) === 0);
    assert.equal(upstream.connections[0]?.socket.destroyed, false);
  });
});
