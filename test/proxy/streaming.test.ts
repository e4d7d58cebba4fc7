import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, type TestContext, test } from 'node:test';
import { connectRaw, valuesOfField } from '../support/raw-client.ts';
import { bounded, eventually, metricOf, valuesOf } from '../support/swivel.ts';
import { response, type Script, startUpstream } from '../support/upstream.ts';
import { fill } from './support/fill.ts';
import { forBothPaths, type Setup } from './support/paths.ts';

const get = (path = '/') => `GET ${path} HTTP/1.1\r\nHost: app.test\r\n\r\n`;
const postHead = (length: number, path = '/') =>
  `POST ${path} HTTP/1.1\r\nHost: app.test\r\nContent-Length: ${length}\r\n\r\n`;
const megabyte = 1024 * 1024;

forBothPaths((start) => {
  async function setUp(t: TestContext, script: Script, options: Setup = {}) {
    const upstream = await startUpstream(t, script);
    const door = await start(t, { upstream: upstream.url, ...options });
    return { upstream, door, client: await connectRaw(t, door) };
  }

  describe('answers as they come', () => {
    test('the head arrives before there is a body, each event before the next', bounded, async (t) => {
      const script = () => 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n';
      const { client, upstream } = await setUp(t, script);
      await client.send(get()).until('\r\n\r\n');
      const [request] = upstream.requests;
      for (const event of ['data: 1\n\n', 'data: 2\n\n']) {
        request?.reply(`${event.length}\r\n${event}\r\n`);
        await client.until(event);
      }
      request?.reply('0\r\n\r\n');
      assert.equal((await client.response()).body, 'data: 1\n\ndata: 2\n\n');
    });

    test('a client that does not read holds the upstream up', bounded, async (t) => {
      const { client, upstream } = await setUp(t, () => `HTTP/1.1 200 OK\r\nContent-Length: ${256 * megabyte}\r\n\r\n`);
      await client.send(get()).until('\r\n\r\n');
      client.socket.pause();
      const { socket } = (await upstream.next()).connection;
      const sent = await fill(socket, 256 * megabyte);
      assert.ok(sent < 64 * megabyte, `${sent} bytes were taken`);
      client.socket.resume();
      await once(socket, 'drain');
    });
  });

  describe('bodies as they come', () => {
    test('each piece of an upload arrives before the next is sent', bounded, async (t) => {
      const { client, upstream } = await setUp(t, () => undefined);
      client.send('POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n');
      const request = await upstream.next();
      await request.connection.until('one');
      client.send('3\r\ntwo\r\n');
      await request.connection.until('two');
      client.send('0\r\n\r\n');
      assert.equal(await request.body, '3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n');
      request.reply(response('done'));
      assert.equal((await client.response()).body, 'done');
    });

    test('an upstream that does not read holds the client up', bounded, async (t) => {
      const { client, upstream } = await setUp(t, ({ connection }) => connection.socket.pause());
      client.send(postHead(256 * megabyte));
      client.send('x');
      const { socket } = (await upstream.next()).connection;
      const sent = await fill(client.socket, 256 * megabyte - 1);
      assert.ok(sent < 64 * megabyte, `${sent} bytes were taken`);
      socket.resume();
      await once(client.socket, 'drain');
    });

    test('the head of an answer, and a part of it, arrive while the body is still being sent', bounded, async (t) => {
      const { client, upstream } = await setUp(t, () => undefined);
      client.send(`${postHead(6)}one`);
      const request = await upstream.next();
      request.reply('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha');
      await client.until('ha');
      client.send('two');
      assert.equal(await request.body, 'onetwo');
      request.reply('lf');
      assert.equal((await client.response()).body, 'half');
    });
  });

  describe('answers before the end of the body', () => {
    const refusal = response('too large', [], '413 Content Too Large');

    test(
      'reach a client that is still sending; the rest is discarded, and the connection lives on',
      bounded,
      async (t) => {
        const { client, upstream, door } = await setUp(t, ({ path }) => (path === '/' ? refusal : response('ok')));
        client.send(`${postHead(8 * megabyte)}first`);
        const answer = await client.response();
        assert.deepEqual([answer.status, answer.body], [413, 'too large']);
        // Upstream the connection cannot be used again: it would take what follows for the rest of the body.
        await upstream.connections[0]?.closed;
        client.send(Buffer.alloc(8 * megabyte - 5, 'x'));
        assert.equal((await client.request(get('/next'))).body, 'ok');
        assert.equal(await metricOf(door.metrics.requestsInFlight), 0);
      },
    );

    test('reach it too when nobody had read the body for a while', bounded, async (t) => {
      const { client, upstream } = await setUp(t, ({ connection }) => connection.socket.pause());
      client.send(`${postHead(256 * megabyte)}x`);
      const request = await upstream.next();
      await fill(client.socket, 256 * megabyte - 1);
      const drained = once(client.socket, 'drain');
      request.reply(refusal);
      assert.equal((await client.response()).status, 413);
      await drained;
    });

    test('reach it too when the upstream closes right away, with the rest on its way', bounded, async (t) => {
      const { client, door } = await setUp(t, ({ connection }) => {
        const last = refusal.replace('\r\n', '\r\nConnection: close\r\n');
        connection.socket.end(last, () => connection.socket.destroy());
      });
      client.send(postHead(256 * megabyte));
      const chunk = Buffer.alloc(256 * 1024);
      const send = () => {
        while (!client.socket.destroyed && client.socket.write(chunk));
      };
      client.socket.on('drain', send);
      send();
      assert.equal((await client.response()).status, 413);
      assert.deepEqual(await valuesOf(door.metrics.upstreamRequests), { 'default,success': 1 });
    });

    test('given by the proxy itself leave the connection in order', bounded, async (t) => {
      const routes = [{ path: '/known', upstream: 'default' }];
      const { client } = await setUp(t, () => response('ok'), { proxy: { routes } });
      client.send(postHead(8 * megabyte, '/unknown'));
      assert.equal((await client.response()).status, 404);
      client.send(Buffer.alloc(8 * megabyte, 'x'));
      assert.equal((await client.request(get('/known'))).body, 'ok');
    });

    test(
      'can be read by a client that sends all of its body first, also when they end the connection',
      bounded,
      async (t) => {
        const { client } = await setUp(t, () => response('ok'));
        client.socket.pause();
        client.send(`POST / HTTP/1.1\r\nHost: app.test\r\nHost: app.test\r\nContent-Length: ${8 * megabyte}\r\n\r\n`);
        await new Promise((resolve) => client.socket.write(Buffer.alloc(8 * megabyte, 'x'), resolve));
        client.socket.resume();
        const answer = await client.response();
        assert.deepEqual([answer.status, valuesOfField(answer, 'connection')], [400, ['close']]);
        client.socket.end();
        assert.deepEqual(await client.closed, { error: null });
      },
    );
  });

  describe('clients that stand still', () => {
    test('in the middle of a body: 408, and the upstream does not wait for ever', bounded, async (t) => {
      const { client, upstream, door } = await setUp(t, () => undefined, { proxy: { idleTimeout: 100 } });
      client.send(`${postHead(10)}first`);
      const answer = await client.response();
      assert.deepEqual([answer.status, valuesOfField(answer, 'connection')], [408, ['close']]);
      await upstream.connections[0]?.closed;
      assert.equal(await metricOf(door.metrics.upstreamTargetHealthy), 1);
      assert.deepEqual(await valuesOf(door.metrics.requests), { 'POST,408': 1 });
    });

    test('in the middle of an answer: it is cut', bounded, async (t) => {
      const script = () => `HTTP/1.1 200 OK\r\nContent-Length: ${256 * megabyte}\r\n\r\n`;
      const { client, upstream, door } = await setUp(t, script, { proxy: { idleTimeout: 100 } });
      await client.send(get()).until('\r\n\r\n');
      client.socket.pause();
      const { connection } = await upstream.next();
      await fill(connection.socket, 256 * megabyte);
      await connection.closed;
      await eventually(async () => (await metricOf(door.metrics.requestsInFlight)) === 0);
      await eventually(() => door.connections.size === 0);
    });
  });
});
