import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { connectRaw } from '../support/raw-client.ts';
import { bounded, eventually, metricOf, startFrontDoor, valuesOf } from '../support/swivel.ts';
import { response, type Script, startUpstream } from '../support/upstream.ts';
import { fill } from './support/fill.ts';
import { forBothPaths } from './support/paths.ts';

const get = (path: string, fields = '') => `GET ${path} HTTP/1.1\r\nHost: app.test\r\n${fields}\r\n`;
const post = (path: string, body: string) =>
  `POST ${path} HTTP/1.1\r\nHost: app.test\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
const socket = get('/socket', 'Connection: Upgrade\r\nUpgrade: websocket\r\n');
const megabyte = 1024 * 1024;

async function setUp(t: TestContext, fastPath: boolean, script: Script = () => undefined) {
  const upstream = await startUpstream(t, script);
  const door = await startFrontDoor(t, { upstream: upstream.url, proxy: { fastPath } });
  return { upstream, door, client: await connectRaw(t, door) };
}

describe('pipelined requests (RFC 9112 §9.3.2)', () => {
  forBothPaths((_start, fastPath) => {
    test('go upstream one after another, and are answered in order', bounded, async (t) => {
      const { upstream, door, client } = await setUp(t, fastPath);
      client.send(post('/1', 'one') + get('/2') + post('/3', 'three') + get('/4'));
      for (const path of ['/1', '/2', '/3', '/4']) {
        const request = await upstream.next();
        assert.equal(request.path, path);
        await request.body;
        // While it is unanswered none of those behind it is asked.
        assert.equal(upstream.requests.length, Number(path.slice(1)));
        request.reply(response(path));
        assert.equal((await client.response()).body, path);
      }
      assert.equal(await metricOf(door.metrics.requestsInFlight), 0);
    });

    test('many small ones are all answered', bounded, async (t) => {
      const { client } = await setUp(t, fastPath, ({ path }) => response(path));
      const paths = Array.from({ length: 300 }, (_, i) => `/${i}`);
      client.send(paths.map((path) => get(path)).join(''));
      for (const path of paths) assert.equal((await client.response()).body, path);
    });

    test('none goes upstream behind an answer that ends the connection', bounded, async (t) => {
      const { upstream, door, client } = await setUp(t, fastPath, ({ path }) => response(path));
      client.send(get('/last', 'Connection: close\r\n') + get('/never'));
      assert.equal((await client.response()).body, '/last');
      client.socket.end();
      await client.closed;
      await (await connectRaw(t, door)).request(get('/later'));
      assert.deepEqual(
        upstream.requests.map(({ path }) => path),
        ['/last', '/later'],
      );
    });

    test('one that cannot be understood does not spoil the answer to the one before it', bounded, async (t) => {
      const { upstream, door, client } = await setUp(t, fastPath);
      client.send(`${get('/good')}nonsense\r\n\r\n`);
      const request = await upstream.next();
      assert.equal(client.text, '');
      request.reply(response('good'));
      assert.equal((await client.response()).body, 'good');
      assert.equal((await client.response()).status, 400);
      client.socket.end();
      assert.deepEqual(await client.closed, { error: null });
      assert.deepEqual(await valuesOf(door.metrics.requests), { 'GET,200': 1, 'other,400': 1 });
    });

    test('those that wait when the client leaves are forgotten', bounded, async (t) => {
      const { upstream, door, client } = await setUp(t, fastPath);
      client.send(get('/1') + get('/2') + get('/3'));
      const { connection } = await upstream.next();
      client.destroy();
      await connection.closed;
      await eventually(async () => (await metricOf(door.metrics.requestsInFlight)) === 0);
      assert.deepEqual(await valuesOf(door.metrics.requests), { 'GET,499': 1 });
      await (await connectRaw(t, door)).send(get('/later'));
      assert.equal((await upstream.next()).path, '/later');
    });
  });

  describe('straight through', () => {
    test('a flood of them is not read ahead: the client is held up', bounded, async (t) => {
      let awake = false;
      const { upstream, door, client } = await setUp(t, true, ({ path }) => (awake ? response(path) : undefined));
      const flood = get('/flood').repeat(2000);
      const taken = await fill(client.socket, 256 * megabyte, Buffer.from(flood));
      assert.ok(taken < 64 * megabyte, `${taken} octets were taken`);
      assert.equal(upstream.requests.length, 1);
      // It goes on where it stopped.
      awake = true;
      upstream.requests[0]?.reply(response('first'));
      for (const body of ['first', ...Array(2000).fill('/flood')]) assert.equal((await client.response()).body, body);
      client.destroy();
      await eventually(async () => (await metricOf(door.metrics.requestsInFlight)) === 0);
    });

    test('a client that left is missed, though a part of what it sent is not looked at yet', bounded, async (t) => {
      const { upstream, door, client } = await setUp(t, true);
      client.send(get('/1'));
      const { connection } = await upstream.next();
      client.send(get('/2'));
      const [accepted] = door.connections.accepted;
      const before = accepted?.socket.bytesRead ?? 0;
      client.send(get('/3'));
      await eventually(() => (accepted?.socket.bytesRead ?? 0) > before);
      client.destroy();
      await connection.closed;
      await eventually(async () => (await metricOf(door.metrics.requestsInFlight)) === 0);
      assert.deepEqual(await valuesOf(door.metrics.requests), { 'GET,499': 1 });
    });

    test('a wish for another protocol is answered in its turn', bounded, async (t) => {
      const { upstream, client } = await setUp(t, true);
      client.send(get('/slow') + socket);
      const slow = await upstream.next();
      assert.doesNotMatch(upstream.bytes, /\/socket/);
      slow.reply(response('slow'));
      assert.equal((await client.response()).body, 'slow');
      const upgrade = await upstream.next();
      assert.deepEqual([upgrade.path, upgrade.header('upgrade')], ['/socket', 'websocket']);
      upgrade.reply('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello');
      assert.equal((await client.response()).status, 101);
      await client.until('hello');
    });
  });

  // It reads on whatever happens to what it has read.
  describe('by node:http', () => {
    test('a flood of them is cut off', bounded, async (t) => {
      const { upstream, door, client } = await setUp(t, false);
      const flood = get('/flood').repeat(100_000);
      client.send(flood);
      await client.closed;
      const [connection] = door.connections.accepted;
      assert.ok(connection && connection.socket.bytesRead < flood.length / 4);
      await eventually(async () => (await metricOf(door.metrics.requestsInFlight)) === 0);
      assert.ok(upstream.requests.length <= 1);
    });

    test('a wish for another protocol behind an unanswered request ends the connection', bounded, async (t) => {
      const { upstream, door, client } = await setUp(t, false);
      client.send(get('/slow') + socket);
      await client.closed;
      assert.equal(client.text, '');
      await eventually(async () => (await metricOf(door.metrics.requestsInFlight)) === 0);
      assert.doesNotMatch(upstream.bytes, /\/socket/);
    });
  });
});
