import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { startDeafServer } from '../support/deaf-server.ts';
import { connectRaw, valuesOfField } from '../support/raw-client.ts';
import { atOnce, bounded, eventually, metricOf, valuesOf } from '../support/swivel.ts';
import { response, type Script, startUpstream, unusedPort } from '../support/upstream.ts';
import { forBothPaths, type Setup } from './support/paths.ts';

const get = (path = '/') => `GET ${path} HTTP/1.1\r\nHost: app.test\r\n\r\n`;
const post = (body = 'hello') => `POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: ${body.length}\r\n\r\n${body}`;

forBothPaths((start) => {
  async function setUp(t: TestContext, script: Script, options: Setup = {}) {
    const upstream = await startUpstream(t, script);
    const door = await start(t, { upstream: upstream.url, ...options });
    return { upstream, door, client: await connectRaw(t, door) };
  }

  describe('targets that cannot be reached', atOnce, () => {
    test('the only one: 502 with the code, and the connection stays', bounded, async (t) => {
      const port = await unusedPort();
      const door = await start(t, { upstream: `http://127.0.0.1:${port}` });
      const client = await connectRaw(t, door);
      for (const request of [get(), post()]) {
        const answer = await client.request(request);
        assert.equal(answer.status, 502);
        assert.match(answer.body, /^UPSTREAM_UNREACHABLE: /);
        assert.equal(valuesOfField(answer, 'x-request-id').length, 1);
      }
      assert.deepEqual(await valuesOf(door.metrics.requests), { 'GET,502': 1, 'POST,502': 1 });
      assert.deepEqual(await valuesOf(door.metrics.upstreamRequests), { 'default,error': 2 });
      assert.equal(await metricOf(door.metrics.upstreamTargetHealthy), 0);
      const [line] = door.log.filter(({ code }) => code === 'UPSTREAM_UNREACHABLE');
      assert.equal(line?.['target'], `127.0.0.1:${port}`);
    });

    for (const [name, request] of Object.entries({ GET: get(), 'POST with its body': post() })) {
      test(
        `one of two: ${name} goes to the other, and the dead one is passed over from then on`,
        bounded,
        async (t) => {
          const upstream = await startUpstream(t);
          const dead = `http://127.0.0.1:${await unusedPort()}`;
          const door = await start(t, { upstream: [dead, upstream.url] });
          const client = await connectRaw(t, door);
          for (let i = 0; i < 6; i++) assert.equal((await client.request(request)).status, 200);
          assert.equal(upstream.requests.length, 6);
          if (name !== 'GET') for (const { body } of upstream.requests) assert.equal(await body, 'hello');
          assert.deepEqual(await valuesOf(door.metrics.upstreamRequests), {
            'default,retried': 1,
            'default,success': 6,
          });
          const health = { [`default,${dead.slice(7)}`]: 0, [`default,${upstream.url.slice(7)}`]: 1 };
          assert.deepEqual(await valuesOf(door.metrics.upstreamTargetHealthy), health);
        },
      );
    }

    test('one that comes back is asked again, and shown as healthy', bounded, async (t) => {
      const port = await unusedPort();
      const timeouts = { failTimeout: 0 };
      const door = await start(t, { upstream: `http://127.0.0.1:${port}`, timeouts });
      const client = await connectRaw(t, door);
      assert.equal((await client.request(get())).status, 502);
      await startUpstream(t, undefined, { port });
      assert.equal((await client.request(get())).status, 200);
      assert.equal(await metricOf(door.metrics.upstreamTargetHealthy), 1);
    });

    test('all of them: each is tried once', bounded, async (t) => {
      const targets = [await unusedPort(), await unusedPort(), await unusedPort()].map(
        (port) => `http://127.0.0.1:${port}`,
      );
      const door = await start(t, { upstream: targets });
      const client = await connectRaw(t, door);
      assert.match((await client.request(get())).body, /^UPSTREAM_UNREACHABLE: /);
      assert.deepEqual(await valuesOf(door.metrics.upstreamRequests), { 'default,retried': 2, 'default,error': 1 });
    });

    test('one that neither accepts nor refuses: the other is asked after connectTimeout', bounded, async (t) => {
      const deaf = await startDeafServer(t);
      const upstream = await startUpstream(t);
      const targets = [`http://127.0.0.1:${deaf}`, upstream.url];
      const door = await start(t, { upstream: targets, timeouts: { connectTimeout: 100 } });
      const client = await connectRaw(t, door);
      assert.equal((await client.request(post())).status, 200);
      assert.deepEqual(await valuesOf(door.metrics.upstreamRequests), { 'default,retried': 1, 'default,success': 1 });
    });

    test('requests are spread over the targets in turn', bounded, async (t) => {
      const upstreams = [await startUpstream(t), await startUpstream(t), await startUpstream(t)];
      const door = await start(t, { upstream: upstreams.map(({ url }) => url) });
      const client = await connectRaw(t, door);
      for (let i = 0; i < 9; i++) await client.request(get());
      assert.deepEqual(
        upstreams.map(({ requests }) => requests.length),
        [3, 3, 3],
      );
    });
  });

  describe('upstreams that misbehave before the answer', atOnce, () => {
    test('no answer in time: 504, and the request is given up', bounded, async (t) => {
      const { client, upstream, door } = await setUp(t, () => undefined, { timeouts: { responseTimeout: 100 } });
      const answer = await client.request(get());
      assert.deepEqual([answer.status, answer.body.split(':')[0]], [504, 'UPSTREAM_TIMEOUT']);
      await upstream.connections[0]?.closed;
      assert.equal(upstream.requests.length, 1);
      assert.equal(await metricOf(door.metrics.upstreamTargetHealthy), 1);
    });

    for (const [name, text] of Object.entries({
      'no HTTP': 'SSH-2.0-OpenSSH_9.6\r\n',
      'a field name with a space': 'HTTP/1.1 200 OK\r\nX A: b\r\nContent-Length: 0\r\n\r\n',
      'two lengths': 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc',
      'a length and chunks': 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      'a NUL': 'HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 0\r\n\r\n',
      'a head beyond 64 KiB': `HTTP/1.1 200 OK\r\nX-A: ${'a'.repeat(70_000)}\r\nContent-Length: 0\r\n\r\n`,
    })) {
      test(`${name}: 502`, bounded, async (t) => {
        const { client, upstream } = await setUp(t, () => text);
        const answer = await client.request(get());
        assert.deepEqual([answer.status, answer.body.split(':')[0]], [502, 'UPSTREAM_INVALID']);
        await upstream.connections[0]?.closed;
      });
    }

    test('a switch of protocols that nobody asked for: 502', bounded, async (t) => {
      const text = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n';
      const { client } = await setUp(t, () => text);
      assert.equal((await client.request(get())).status, 502);
    });

    test('a fresh connection that closes without an answer: 502, not asked again', bounded, async (t) => {
      const { client, upstream } = await setUp(t, ({ connection }) => connection.socket.destroy());
      const answer = await client.request(get());
      assert.deepEqual([answer.status, answer.body.split(':')[0]], [502, 'UPSTREAM_CLOSED']);
      assert.equal(upstream.requests.length, 1);
    });
  });

  describe('a kept-alive connection that closes as the request is sent (RFC 9110 §9.2.2)', () => {
    /** Answers the first request of a connection and closes it at the second. */
    const once: Script = ({ connection }) => {
      if (connection.socket.bytesWritten === 0) return response();
      return connection.socket.resetAndDestroy();
    };

    test('GET is sent once more, on another connection', bounded, async (t) => {
      const { client, upstream, door } = await setUp(t, once);
      for (const path of ['/0', '/1']) assert.equal((await client.request(get(path))).status, 200);
      assert.deepEqual(
        upstream.requests.map(({ path }) => path),
        ['/0', '/1', '/1'],
      );
      assert.deepEqual(await valuesOf(door.metrics.upstreamRequests), { 'default,success': 2, 'default,retried': 1 });
      assert.deepEqual(await valuesOf(door.metrics.requests), { 'GET,200': 2 });
    });

    test('GET is not sent a third time', bounded, async (t) => {
      // Fresh connections, over which a request is sent once more, are closed as well from the second request on.
      const { client, upstream, door } = await setUp(t, (request) =>
        upstream.requests.length === 1 ? response() : request.connection.socket.resetAndDestroy(),
      );
      for (const status of [200, 502]) assert.equal((await client.request(get())).status, status);
      assert.equal(upstream.requests.length, 3);
      assert.deepEqual(await valuesOf(door.metrics.upstreamRequests), {
        'default,success': 1,
        'default,retried': 1,
        'default,error': 1,
      });
    });

    test('GET that cannot be sent once more is told so', bounded, async (t) => {
      const { client, upstream } = await setUp(t, ({ path }) => (path === '/' ? response() : upstream.close()));
      assert.equal((await client.request(get())).status, 200);
      assert.match((await client.request(get('/last'))).body, /^UPSTREAM_UNREACHABLE: /);
    });

    for (const [name, request] of Object.entries({
      POST: post(),
      'POST without a body': 'POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 0\r\n\r\n',
      'PUT with a body': post().replace('POST', 'PUT'),
      'GET with a body': post().replace('POST', 'GET'),
    })) {
      test(`${name} is not sent again`, bounded, async (t) => {
        const { client, upstream } = await setUp(t, once);
        await client.request(get());
        assert.equal((await client.request(request)).status, 502);
        assert.equal(upstream.requests.length, 2);
      });
    }
  });

  describe('answers that are cut', atOnce, () => {
    for (const [name, head] of Object.entries({
      'of known length': 'Content-Length: 100\r\n\r\npart',
      'in chunks': 'Transfer-Encoding: chunked\r\n\r\n4\r\npart\r\n',
      'that ends with its connection': 'Connection: close\r\n\r\npart',
    })) {
      for (const version of ['1.1', '1.0']) {
        test(`one ${name} does not look complete to HTTP/${version}`, bounded, async (t) => {
          const { client, upstream, door } = await setUp(t, () => `HTTP/1.1 200 OK\r\n${head}`);
          await client.send(get().replace('1.1', version)).until('part');
          upstream.connections[0]?.socket.resetAndDestroy();
          const { error } = await client.closed;
          assert.ok(client.text.endsWith('part') || client.text.endsWith('part\r\n'), client.text);
          // Nothing but a reset tells it from the end of a body that ends with the connection.
          if (version === '1.0' && !client.text.includes('Content-Length')) assert.equal(error, 'ECONNRESET');
          assert.deepEqual(await valuesOf(door.metrics.upstreamRequests), { 'default,cut': 1 });
          assert.equal(await metricOf(door.metrics.requestsInFlight), 0);
          assert.ok(door.log.some(({ msg }) => msg === 'the upstream cut its response'));
        });
      }
    }

    test('a body that ends too early by a mere close does not look complete either', bounded, async (t) => {
      for (const head of ['Content-Length: 100\r\n\r\npart', 'Transfer-Encoding: chunked\r\n\r\n4\r\npart\r\n']) {
        const { client } = await setUp(t, ({ connection }) => connection.socket.end(`HTTP/1.1 200 OK\r\n${head}`));
        await assert.rejects(client.request(get()), /ended after/);
      }
    });

    test('a body that breaks its own framing is cut', bounded, async (t) => {
      const { client } = await setUp(
        t,
        () => 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\nnonsense',
      );
      await assert.rejects(client.request(get()), /ended after/);
    });

    test('a body that stops moving is cut after its timeout', bounded, async (t) => {
      const script = () => 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart';
      const { client, door } = await setUp(t, script, { timeouts: { idleTimeout: 100 } });
      await assert.rejects(client.request(get()), /ended after/);
      assert.ok(door.log.some(({ code }) => code === 'UPSTREAM_TIMEOUT'));
    });
  });

  describe('clients that leave', atOnce, () => {
    test('before the answer: the request is given up, and counted as 499', bounded, async (t) => {
      const { client, upstream, door } = await setUp(t, () => undefined);
      client.send(get());
      const { connection } = await upstream.next();
      client.destroy();
      await connection.closed;
      await eventually(async () => (await metricOf(door.metrics.requests, { code: '499' })) === 1);
      assert.equal(await metricOf(door.metrics.requestsInFlight), 0);
      assert.deepEqual(await valuesOf(door.metrics.upstreamRequests), { 'default,aborted': 1 });
    });

    test('by closing politely: the same', bounded, async (t) => {
      const { client, upstream, door } = await setUp(t, () => undefined);
      client.send(get());
      const { connection } = await upstream.next();
      client.socket.end();
      await connection.closed;
      await eventually(async () => (await metricOf(door.metrics.requests, { code: '499' })) === 1);
    });

    test('in the middle of the answer: the upstream is not read to its end', bounded, async (t) => {
      const { client, upstream, door } = await setUp(t, () => 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart');
      await client.send(get()).until('part');
      client.destroy();
      await upstream.connections[0]?.closed;
      await eventually(async () => (await metricOf(door.metrics.requestsInFlight)) === 0);
      assert.deepEqual(await valuesOf(door.metrics.upstreamRequests), { 'default,aborted': 1 });
    });

    for (const framing of ['Content-Length: 100\r\n\r\npart', 'Transfer-Encoding: chunked\r\n\r\n4\r\npart\r\n']) {
      test(
        `in the middle of a body (${framing.split('\r')[0]}): it does not look complete upstream`,
        bounded,
        async (t) => {
          const { client, upstream, door } = await setUp(t, () => undefined);
          client.send(`POST / HTTP/1.1\r\nHost: app.test\r\n${framing}`);
          const { connection } = await upstream.next();
          await connection.until('part');
          client.destroy();
          await connection.closed;
          assert.match(connection.text, /part(\r\n)?$/);
          await eventually(async () => (await metricOf(door.metrics.requests, { code: '499' })) === 1);
          // It is no fault of the upstream's, and nothing to warn of.
          assert.deepEqual(
            door.log.filter(({ level }) => level === 'warn'),
            [],
          );
        },
      );
    }

    test('while the request waits for a connection: nothing is sent, and nothing stays', bounded, async (t) => {
      const deaf = await startDeafServer(t);
      const door = await start(t, {
        upstream: `http://127.0.0.1:${deaf}`,
        timeouts: { connectTimeout: 60_000 },
      });
      const client = await connectRaw(t, door);
      client.send(get());
      await eventually(async () => (await metricOf(door.metrics.requestsInFlight)) === 1);
      client.destroy();
      await eventually(async () => (await metricOf(door.metrics.requestsInFlight)) === 0);
      assert.deepEqual(await valuesOf(door.metrics.requests), { 'GET,499': 1 });
      assert.deepEqual(await valuesOf(door.metrics.upstreamRequests), { 'default,aborted': 1 });
    });
  });
});
