import assert from 'node:assert/strict';
import { once } from 'node:events';
import { constants } from 'node:http2';
import { describe, type TestContext, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { connectHttp2, readResponse } from '../support/http2-client.ts';
import {
  atOnce,
  bounded,
  eventually,
  metricOf,
  startFrontDoor,
  type TestFrontDoor,
  valuesOf,
} from '../support/swivel.ts';
import { response, type Script, startUpstream, unusedPort } from '../support/upstream.ts';

const megabyte = 1024 * 1024;

async function setUp(t: TestContext, script: Script, options: Parameters<typeof startFrontDoor>[1] = {}) {
  const upstream = await startUpstream(t, script);
  const door = await startFrontDoor(t, { upstream: upstream.url, ...options });
  return { upstream, door, client: await connectHttp2(t, door) };
}

async function nothingInFlight(door: TestFrontDoor): Promise<void> {
  await eventually(async () => (await metricOf(door.metrics.requestsInFlight)) === 0);
}

describe('a request of HTTP/2', () => {
  test('goes upstream as HTTP/1.1: :authority as Host, cookie crumbs joined, bytes kept', bounded, async (t) => {
    const { client, upstream } = await setUp(t, () => response());
    await client.request({
      ':path': '/a?b',
      cookie: ['a=1', 'b=2'],
      te: 'trailers',
      'x-odd': 'caf\xe9',
      'x-list': ['1', '2'],
    });
    const [request] = upstream.requests;
    assert.deepEqual([request?.line, request?.header('host')], ['GET /a?b HTTP/1.1', 'app.test']);
    assert.deepEqual([request?.header('cookie'), request?.header('te')], ['a=1; b=2', 'trailers']);
    assert.deepEqual([request?.header('x-odd'), request?.header('x-list')], ['caf\xe9', '1, 2']);
    assert.equal(request?.header('x-forwarded-host'), 'app.test');
  });

  for (const [name, headers, body, expected] of [
    ['with a length keeps it', { ':method': 'POST', 'content-length': 5 }, 'hello', 'content-length: 5\r\n\r\nhello'],
    ['without a length goes in chunks', { ':method': 'POST' }, 'hello', 'chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n'],
    ['of DELETE goes in chunks', { ':method': 'DELETE' }, 'hello', 'chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n'],
    ['that is empty is none', { ':method': 'POST' }, '', 'content-length: 0\r\n\r\n'],
  ] as const) {
    test(`its body ${name}`, bounded, async (t) => {
      const { client, upstream } = await setUp(t, () => response());
      assert.equal((await client.request(headers, body)).status, 200);
      assert.ok(upstream.bytes.endsWith(expected), upstream.bytes);
    });
  }

  test('does not wait for others, nor do they for it', bounded, async (t) => {
    const { client, upstream } = await setUp(t, () => undefined);
    const paths = Array.from({ length: 50 }, (_, i) => `/${i}`);
    const responses = paths.map((path) => client.request({ ':path': path }));
    const requests = await Promise.all(paths.map(() => upstream.next()));
    for (const request of requests.reverse()) request.reply(response(request.path));
    assert.deepEqual(
      (await Promise.all(responses)).map(({ body }) => body),
      paths,
    );
  });

  for (const [name, headers, status] of [
    ['Host against :authority', { host: 'x.app.test' }, 400],
    ['an authority with a user', { ':authority': 'u@app.test' }, 400],
    ['a target that names another host', { ':path': 'http://evil.test/' }, 400],
    ['a fragment', { ':path': '/a#b' }, 400],
    ['CONNECT', { ':method': 'CONNECT', ':scheme': undefined, ':path': undefined }, 405],
    ['TRACE', { ':method': 'TRACE' }, 405],
    ['an expectation that is not met', { ':method': 'POST', expect: 'a-miracle' }, 417],
  ] as const) {
    test(`with ${name} is refused`, bounded, async (t) => {
      const { client, upstream, door } = await setUp(t, () => response());
      const stream = client.open(headers as Record<string, string>, { endStream: name !== 'CONNECT' });
      const { status: answered, body, reset } = await readResponse(stream);
      // Some of it the library refuses by itself, without an answer.
      if (reset !== constants.NGHTTP2_PROTOCOL_ERROR) {
        assert.equal(answered, status);
        assert.match(body, /^REQUEST_[A-Z]+: /);
      }
      assert.equal(upstream.requests.length, 0);
      // It is the request that is in doubt, not the connection: that has framing of its own.
      assert.equal((await client.request()).status, 200);
      await nothingInFlight(door);
    });
  }

  test('to a host that another certificate serves is sent away: 421', bounded, async (t) => {
    const certificates = { app: ['app.test'], other: ['other.test'] };
    const { client, door } = await setUp(t, () => response(), { certificates });
    assert.equal((await client.request({ ':authority': 'other.test' })).status, 421);
    assert.equal((await client.request({ ':authority': 'nobody.test' })).status, 200);
    assert.equal((await client.request()).status, 200);
    const elsewhere = await connectHttp2(t, door, { servername: 'other.test' });
    assert.equal((await elsewhere.request({ ':authority': 'other.test' })).status, 200);
  });

  test(
    'on a resumed session of TLS 1.2, which does not tell the certificate that was shown, is served',
    bounded,
    async (t) => {
      const certificates = { app: ['app.test'], other: ['other.test'] };
      const { door } = await setUp(t, () => response(), { certificates });
      const tls = { servername: 'other.test', maxVersion: 'TLSv1.2', minVersion: 'TLSv1.2' } as const;
      const first = await connectHttp2(t, door, tls);
      const session = first.session.socket as unknown as { getSession(): Buffer };
      const resumed = await connectHttp2(t, door, { ...tls, session: session.getSession() } as typeof tls);
      assert.equal((resumed.session.socket as unknown as { isSessionReused(): boolean }).isSessionReused(), true);
      assert.equal((await resumed.request({ ':authority': 'other.test' })).status, 200);
      assert.equal((await resumed.request({ ':authority': 'app.test' })).status, 200);
    },
  );
});

describe('an answer over HTTP/2', () => {
  test('keeps fields, bytes and repetition; what concerns a connection goes', bounded, async (t) => {
    const fields = [
      'X-Odd: caf\xe9',
      'Set-Cookie: a=1',
      'set-cookie: b=2',
      'Vary: a',
      'Vary: b',
      'Connection: X-A',
      'X-A: 1',
    ];
    const more = ['Keep-Alive: timeout=5', 'Upgrade: h2c', 'Proxy-Connection: close', 'X-Request-Id: another'];
    const { client, upstream } = await setUp(t, () => response('ok', [...fields, ...more]));
    const { headers, body } = await client.request();
    assert.deepEqual(headers['set-cookie'], ['a=1', 'b=2']);
    assert.deepEqual([headers['x-odd'], headers['vary'], headers['content-length']], ['caf\xe9', 'a, b', '2']);
    for (const name of ['connection', 'x-a', 'keep-alive', 'upgrade', 'proxy-connection'])
      assert.equal(headers[name], undefined);
    assert.equal(headers['x-request-id'], upstream.requests[0]?.header('x-request-id'));
    assert.equal(body, 'ok');
  });

  test('has fields of any name', bounded, async (t) => {
    const { client } = await setUp(t, () => response('ok', ['Constructor: x', 'To-String: y']));
    const { status, headers } = await client.request();
    assert.deepEqual([status, headers['constructor']], [200, 'x']);
  });

  test('takes fields twice that Node takes only once', bounded, async (t) => {
    const twice = [
      'Location: /a',
      'Location: /b',
      'Content-Type: a/b',
      'Content-Type: c/d',
      'Date: x',
      'Date: y',
      'ETag: "a"',
      'ETag: "b"',
    ];
    const { client } = await setUp(t, () => response('ok', twice));
    const { status, body } = await client.request();
    assert.deepEqual([status, body], [200, 'ok']);
  });

  for (const [status, headers, expected] of [
    ['HEAD', { ':method': 'HEAD' }, '5'],
    ['204', {}, undefined],
    ['304', {}, '5'],
  ] as const) {
    test(`${status} has no body`, bounded, async (t) => {
      const code = status === 'HEAD' ? '200' : status;
      const { client, door } = await setUp(
        t,
        () => `HTTP/1.1 ${code} X\r\n${status === '204' ? '' : 'Content-Length: 5\r\n'}\r\n`,
      );
      const answer = await client.request(headers);
      assert.deepEqual(
        [answer.status, answer.headers['content-length'], answer.body, answer.complete],
        [Number(code), expected, '', true],
      );
      await nothingInFlight(door);
    });
  }

  test('has trailers', bounded, async (t) => {
    const { client } = await setUp(
      t,
      () =>
        'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\nConnection: close\r\n\r\n',
    );
    const { body, trailers, complete } = await client.request();
    assert.deepEqual([body, trailers?.['x-sum'], trailers?.['connection'], complete], ['ok', '1', undefined, true]);
  });

  test('comes after interim ones', bounded, async (t) => {
    const { client } = await setUp(t, (request) => {
      request.reply('HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n');
      return response();
    });
    const { interim, status } = await client.request();
    assert.equal(status, 200);
    assert.deepEqual(
      interim.map((headers) => [headers[':status'], headers['link']]),
      [
        [103, '</a.css>; rel=preload'],
        [102, undefined],
      ],
    );
  });

  test('its head and each piece arrive before the next', bounded, async (t) => {
    const { client, upstream } = await setUp(t, () => 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
    const stream = client.open().setEncoding('utf8');
    await once(stream, 'response');
    const [request] = upstream.requests;
    for (const event of ['one', 'two']) {
      request?.reply(`3\r\n${event}\r\n`);
      assert.equal((await once(stream, 'data'))[0], event);
    }
  });

  test('before the end of the body: the client reads it, and is asked to stop', bounded, async (t) => {
    const { client, upstream, door } = await setUp(t, () => response('too large', [], '413 Content Too Large'));
    const stream = client.open({ ':method': 'POST' }, { endStream: false });
    stream.write('first');
    const answer = await readResponse(stream);
    assert.deepEqual([answer.status, answer.body, answer.complete], [413, 'too large', true]);
    assert.equal(stream.rstCode, constants.NGHTTP2_NO_ERROR);
    await upstream.connections[0]?.closed;
    await nothingInFlight(door);
  });

  test('the body is asked for when the upstream is there to take it', bounded, async (t) => {
    const { client, upstream } = await setUp(t, () => response());
    const stream = client.open({ ':method': 'POST', expect: '100-continue' }, { endStream: false });
    const answer = readResponse(stream);
    await once(stream, 'continue');
    stream.end('hello');
    assert.equal((await answer).status, 200);
    assert.equal(upstream.requests[0]?.header('expect'), undefined);
  });
});

describe('an exchange over HTTP/2 that fails', atOnce, () => {
  for (const [name, head] of Object.entries({
    'of known length': 'Content-Length: 100\r\n\r\npart',
    'in chunks': 'Transfer-Encoding: chunked\r\n\r\n4\r\npart\r\n',
    'that ends with its connection': 'Connection: close\r\n\r\npart',
  })) {
    test(`an answer ${name} that is cut does not look complete; others go on`, bounded, async (t) => {
      const { client, upstream, door } = await setUp(t, ({ path }) =>
        path === '/cut' ? `HTTP/1.1 200 OK\r\n${head}` : undefined,
      );
      const other = client.request({ ':path': '/other' });
      const stream = client.open({ ':path': '/cut' });
      const answer = readResponse(stream);
      await once(stream, 'data');
      upstream.requests.find(({ path }) => path === '/cut')?.connection.socket.resetAndDestroy();
      const { body, reset, complete } = await answer;
      assert.deepEqual([body, reset, complete], ['part', constants.NGHTTP2_INTERNAL_ERROR, false]);
      upstream.requests.find(({ path }) => path === '/other')?.reply(response());
      assert.equal((await other).status, 200);
      await nothingInFlight(door);
    });
  }

  test('an upstream that is down: 502', bounded, async (t) => {
    const door = await startFrontDoor(t, { upstream: `http://127.0.0.1:${await unusedPort()}` });
    const client = await connectHttp2(t, door);
    const { status, body } = await client.request({ ':method': 'POST' }, 'hello');
    assert.deepEqual([status, body.split(':')[0]], [502, 'UPSTREAM_UNREACHABLE']);
  });

  test('an upstream that does not answer in time: 504', bounded, async (t) => {
    const { client } = await setUp(t, () => undefined, { timeouts: { responseTimeout: 100 } });
    assert.equal((await client.request()).status, 504);
  });

  for (const [name, code] of [
    ['NO_ERROR', constants.NGHTTP2_NO_ERROR],
    ['CANCEL', constants.NGHTTP2_CANCEL],
    ['INTERNAL_ERROR', constants.NGHTTP2_INTERNAL_ERROR],
  ] as const) {
    test(
      `a client that resets with ${name}, before the answer or in a body: the upstream is given up, 499`,
      bounded,
      async (t) => {
        const { client, upstream, door } = await setUp(t, () => undefined);
        for (const method of ['GET', 'POST']) {
          const stream = client.open({ ':method': method }, { endStream: method === 'GET' });
          if (method === 'POST') stream.write('part');
          const { connection } = await upstream.next();
          if (method === 'POST') await connection.until('part');
          stream.close(code);
          await connection.closed;
        }
        await nothingInFlight(door);
        assert.deepEqual(await valuesOf(door.metrics.requests), { 'GET,499': 1, 'POST,499': 1 });
        assert.deepEqual(
          door.log.filter(({ level }) => level === 'warn'),
          [],
        );
        assert.equal(client.session.closed, false);
      },
    );
  }

  test('a client that leaves with its whole session: every upstream is given up', bounded, async (t) => {
    const { client, upstream, door } = await setUp(t, () => undefined);
    for (let i = 0; i < 10; i++) client.open();
    const requests = await Promise.all(Array.from({ length: 10 }, () => upstream.next()));
    client.session.destroy();
    await Promise.all(requests.map(({ connection }) => connection.closed));
    await nothingInFlight(door);
    await eventually(() => door.connections.size === 0);
  });

  test('clients that vanish in the middle of many uploads leave nothing', bounded, async (t) => {
    // Some sessions of Node get stuck when that happens: with a window of a megabyte, one in ten.
    const { door } = await setUp(t, () => response(), { proxy: { idleTimeout: 300 } });
    const clients = await Promise.all(Array.from({ length: 5 }, () => connectHttp2(t, door)));
    for (const client of clients) {
      for (let i = 0; i < 30; i++) void client.request({ ':method': 'POST' }, Buffer.alloc(200_000));
      await nextTurn();
      client.session.destroy();
    }
    await eventually(() => door.connections.accepted.slice(-5).every(({ socket }) => socket.destroyed));
    await nothingInFlight(door);
  });

  test('a client that stands still in a body: 408', bounded, async (t) => {
    const { client, upstream, door } = await setUp(t, () => undefined, { proxy: { idleTimeout: 100 } });
    const stream = client.open({ ':method': 'POST' }, { endStream: false });
    stream.write('part');
    assert.equal((await readResponse(stream)).status, 408);
    await upstream.connections[0]?.closed;
    await nothingInFlight(door);
  });
});

describe('bounds of HTTP/2', () => {
  test('a client that does not read a stream holds only that one up', bounded, async (t) => {
    const { client, upstream } = await setUp(t, ({ path }) =>
      path === '/big' ? `HTTP/1.1 200 OK\r\nContent-Length: ${256 * megabyte}\r\n\r\n` : response(),
    );
    const stream = client.open({ ':path': '/big' });
    await once(stream, 'response');
    const { socket } = (await upstream.next()).connection;
    const chunk = Buffer.alloc(64 * 1024);
    let sent = 0;
    let full = 0;
    await eventually(() => {
      if (socket.writableNeedDrain || sent >= 255 * megabyte) full += 1;
      else {
        full = 0;
        sent += chunk.length;
        socket.write(chunk);
      }
      return full === 100;
    });
    assert.ok(sent < 64 * megabyte, `${sent} bytes were taken`);
    assert.equal((await client.request({ ':path': '/small' })).status, 200);
    stream.resume();
    await once(socket, 'drain');
  });

  test('an upstream that does not read holds the client up', bounded, async (t) => {
    const { client, upstream } = await setUp(t, ({ connection }) => connection.socket.pause());
    const stream = client.open({ ':method': 'POST', 'content-length': 256 * megabyte }, { endStream: false });
    stream.write('x');
    const { socket } = (await upstream.next()).connection;
    const chunk = Buffer.alloc(64 * 1024);
    let sent = 0;
    let full = 0;
    await eventually(() => {
      if (stream.writableNeedDrain || sent >= 255 * megabyte) full += 1;
      else {
        full = 0;
        sent += chunk.length;
        stream.write(chunk);
      }
      return full === 100;
    });
    assert.ok(sent < 64 * megabyte, `${sent} bytes were taken`);
    socket.resume();
    await once(stream, 'drain');
  });

  test(
    'as many streams as are allowed may stand still with much to come, and the session lives',
    bounded,
    async (t) => {
      const script: Script = ({ path, connection }) => {
        if (path !== '/big') return response();
        connection.socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${megabyte}\r\n\r\n`);
        return connection.socket.write(Buffer.alloc(megabyte));
      };
      const { client } = await setUp(t, script);
      const streams = Array.from({ length: 100 }, () => client.open({ ':path': '/big' }));
      await Promise.all(streams.map((stream) => once(stream, 'response')));
      assert.equal((await client.request({ ':path': '/small' })).status, 200);
      const sizes = await Promise.all(
        streams.map(async (stream) => {
          let size = 0;
          for await (const chunk of stream) size += (chunk as Buffer).length;
          return size;
        }),
      );
      assert.deepEqual(new Set(sizes), new Set([megabyte]));
    },
  );

  test('a flood of resets ends the session', bounded, async (t) => {
    const { client, upstream, door } = await setUp(t, () => undefined);
    for (let i = 0; i < 100 && !client.session.destroyed; i++) {
      const streams = Array.from({ length: 20 }, () => client.open());
      await nextTurn();
      for (const stream of streams) stream.close(constants.NGHTTP2_CANCEL);
      await nextTurn();
    }
    assert.ok(await client.closed);
    await nothingInFlight(door);
    await eventually(() => door.connections.size === 0);
    assert.ok(upstream.requests.length < 1000);
  });

  test('more streams than allowed are refused, and may be sent again', bounded, async (t) => {
    const { client, upstream } = await setUp(t, () => undefined, { proxy: { maxConcurrentStreams: 10 } });
    assert.equal(client.session.remoteSettings.maxConcurrentStreams, 10);
    const answers = Array.from({ length: 20 }, () => client.request());
    const first = await Promise.all(Array.from({ length: 10 }, () => upstream.next()));
    assert.equal(upstream.requests.length, 10);
    for (const request of first) request.reply(response());
    for (let i = 0; i < 10; i++) (await upstream.next()).reply(response());
    assert.ok((await Promise.all(answers)).every(({ status }) => status === 200));
  });

  for (const [name, headers] of [
    ['in bytes', { 'x-a': 'a'.repeat(40_000) }],
    ['in fields', Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`x-${i}`, 'a']))],
  ] as const) {
    test(`a head beyond its bound ${name} is not served; other streams are`, bounded, async (t) => {
      const { client, upstream, door } = await setUp(t, () => response());
      const answer = await client.request(headers);
      assert.ok(answer.status === 431 || answer.reset !== 0, JSON.stringify(answer));
      assert.equal((await client.request()).status, 200);
      assert.equal(upstream.requests.length, 1);
      await nothingInFlight(door);
    });
  }

  test(
    'a session that has been idle for too long is closed, one that is busy for longer is not',
    bounded,
    async (t) => {
      const { client, door, upstream } = await setUp(t, () => undefined, { proxy: { idleTimeout: 100 } });
      const answer = client.request();
      const request = await upstream.next();
      // The time of an idle session goes by while this one is busy.
      const idle = await connectHttp2(t, door);
      await idle.closed;
      request.reply(response());
      assert.equal((await answer).status, 200);
      await client.closed;
    },
  );
});
