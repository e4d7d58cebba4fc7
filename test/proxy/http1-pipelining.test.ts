import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { connectRaw } from '../support/raw-client.ts';
import { bounded, eventually, metricOf, startFrontDoor, valuesOf } from '../support/swivel.ts';
import { response, startUpstream } from '../support/upstream.ts';

const get = (path: string, fields = '') => `GET ${path} HTTP/1.1\r\nHost: app.test\r\n${fields}\r\n`;
const post = (path: string, body: string) =>
  `POST ${path} HTTP/1.1\r\nHost: app.test\r\nContent-Length: ${body.length}\r\n\r\n${body}`;

describe('pipelined requests (RFC 9112 §9.3.2)', () => {
  test('go upstream one after another, and are answered in order', bounded, async (t) => {
    const upstream = await startUpstream(t, () => undefined);
    const door = await startFrontDoor(t, { upstream: upstream.url });
    const client = await connectRaw(t, door);
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

  test('a flood of them is cut off', bounded, async (t) => {
    const upstream = await startUpstream(t, () => undefined);
    const door = await startFrontDoor(t, { upstream: upstream.url });
    const client = await connectRaw(t, door);
    const flood = get('/flood').repeat(100_000);
    client.send(flood);
    await client.closed;
    const [connection] = door.connections.accepted;
    assert.ok(connection && connection.socket.bytesRead < flood.length / 4);
    await eventually(async () => (await metricOf(door.metrics.requestsInFlight)) === 0);
    assert.ok(upstream.requests.length <= 1);
  });

  test('many small ones are all answered', bounded, async (t) => {
    const upstream = await startUpstream(t, ({ path }) => response(path));
    const door = await startFrontDoor(t, { upstream: upstream.url });
    const client = await connectRaw(t, door);
    const paths = Array.from({ length: 300 }, (_, i) => `/${i}`);
    client.send(paths.map((path) => get(path)).join(''));
    for (const path of paths) assert.equal((await client.response()).body, path);
  });

  test('none goes upstream behind an answer that ends the connection', bounded, async (t) => {
    const upstream = await startUpstream(t, ({ path }) => response(path));
    const door = await startFrontDoor(t, { upstream: upstream.url });
    const client = await connectRaw(t, door);
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
    const upstream = await startUpstream(t, () => undefined);
    const door = await startFrontDoor(t, { upstream: upstream.url });
    const client = await connectRaw(t, door);
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

  test('a wish for another protocol behind an unanswered request ends the connection', bounded, async (t) => {
    const upstream = await startUpstream(t, () => undefined);
    const door = await startFrontDoor(t, { upstream: upstream.url });
    const client = await connectRaw(t, door);
    client.send(get('/slow') + get('/socket', 'Connection: Upgrade\r\nUpgrade: websocket\r\n'));
    await client.closed;
    assert.equal(client.text, '');
    await eventually(async () => (await metricOf(door.metrics.requestsInFlight)) === 0);
    assert.doesNotMatch(upstream.bytes, /\/socket/);
  });

  test('those that wait when the client leaves are forgotten', bounded, async (t) => {
    const upstream = await startUpstream(t, () => undefined);
    const door = await startFrontDoor(t, { upstream: upstream.url });
    const client = await connectRaw(t, door);
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
