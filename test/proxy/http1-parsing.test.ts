import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { connectRaw, valuesOfField } from '../support/raw-client.ts';
import { atOnce, bounded, eventually, metricOf, valuesOf } from '../support/swivel.ts';
import { startUpstream } from '../support/upstream.ts';
import { forBothPaths } from './support/paths.ts';

const host = 'Host: app.test\r\n';
/** What an attacker would like to get past the proxy, behind whatever stands before it. */
const smuggled = `GET /smuggled HTTP/1.1\r\n${host}\r\n`;
const chunked = 'Transfer-Encoding: chunked\r\n';
const smuggledChunk = `${smuggled.length.toString(16)}\r\n${smuggled}\r\n`;

/** Requests that leave doubt about what they are, where they go or where they end. Each is refused and ends its connection. */
const refused: Record<string, [request: string, status: number]> = {
  'no Host in HTTP/1.1': ['GET / HTTP/1.1\r\n\r\n', 400],
  'no Host in HTTP/1.0': ['GET / HTTP/1.0\r\n\r\n', 400],
  'HTTP/0.9': ['GET /\r\n\r\n', 400],
  'two Host fields that agree': [`GET / HTTP/1.1\r\n${host}${host}\r\n`, 400],
  'two Host fields that differ': [`GET / HTTP/1.1\r\n${host}host: evil.test\r\n\r\n`, 400],
  'an empty Host': ['GET / HTTP/1.1\r\nHost:\r\n\r\n', 400],
  'a Host with a path': ['GET / HTTP/1.1\r\nHost: app.test/x\r\n\r\n', 400],
  'a Host with user information': ['GET / HTTP/1.1\r\nHost: evil@app.test\r\n\r\n', 400],
  'a Host that is a list': ['GET / HTTP/1.1\r\nHost: app.test, evil.test\r\n\r\n', 400],
  'a Host with a port beyond 65535': ['GET / HTTP/1.1\r\nHost: app.test:65536\r\n\r\n', 400],
  'a second Host behind thousands of fields': [`GET / HTTP/1.1\r\n${host}${'a:b\r\n'.repeat(3000)}${host}\r\n`, 400],
  'a target that names another host': [`GET http://evil.test/ HTTP/1.1\r\n${host}\r\n`, 400],
  'a target with user information': [`GET http://x@app.test/ HTTP/1.1\r\n${host}\r\n`, 400],
  'a target with a fragment': [`GET /a#b HTTP/1.1\r\n${host}\r\n`, 400],
  'a target beyond ASCII': [`GET /\xe9 HTTP/1.1\r\n${host}\r\n`, 400],
  'a target without a slash': [`GET app.test HTTP/1.1\r\n${host}\r\n`, 400],
  'the server as a whole': [`OPTIONS * HTTP/1.1\r\n${host}\r\n`, 400],
  'the server as a whole, absolute': [`OPTIONS http://app.test HTTP/1.1\r\n${host}\r\n`, 400],
  TRACE: [`TRACE / HTTP/1.1\r\n${host}\r\n`, 405],
  CONNECT: [`CONNECT app.test:443 HTTP/1.1\r\n${host}\r\n`, 405],
  'an unknown method': [`SMUGGLE / HTTP/1.1\r\n${host}\r\n`, 400],
  'an unknown version': [`GET / HTTP/1.2\r\n${host}\r\n`, 400],
  'HTTP/2 without its ALPN': ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400],
  'an obsolete line fold': [`GET / HTTP/1.1\r\n${host}X-A: b\r\n c\r\n\r\n`, 400],
  'line ends without a carriage return': ['GET / HTTP/1.1\nHost: app.test\n\n', 400],
  'one line end without a carriage return': [`GET / HTTP/1.1\r\n${host}X-A: b\nX-C: d\r\n\r\n`, 400],
  'a carriage return alone': [`GET / HTTP/1.1\r\n${host}X-A: b\rX-C: d\r\n\r\n`, 400],
  'a NUL': [`GET / HTTP/1.1\r\n${host}X-A: b\0c\r\n\r\n`, 400],
  'a space before a colon': ['GET / HTTP/1.1\r\nHost : app.test\r\n\r\n', 400],
  'a length and chunks': [`POST / HTTP/1.1\r\n${host}Content-Length: 4\r\n${chunked}\r\n0\r\n\r\n`, 400],
  'chunks and a length': [`POST / HTTP/1.1\r\n${host}${chunked}Content-Length: 4\r\n\r\n0\r\n\r\n`, 400],
  'two lengths that agree': [`POST / HTTP/1.1\r\n${host}Content-Length: 0\r\nContent-Length: 0\r\n\r\n`, 400],
  'a list of lengths': [`POST / HTTP/1.1\r\n${host}Content-Length: 0, 0\r\n\r\n`, 400],
  'a signed length': [`POST / HTTP/1.1\r\n${host}Content-Length: +0\r\n\r\n`, 400],
  'a hexadecimal length': [`POST / HTTP/1.1\r\n${host}Content-Length: 0x0\r\n\r\n`, 400],
  'an empty length': [`POST / HTTP/1.1\r\n${host}Content-Length:\r\n\r\n`, 400],
  'chunks in HTTP/1.0': [`POST / HTTP/1.0\r\n${host}${chunked}\r\n0\r\n\r\n`, 400],
  'an encoding before chunked': [`POST / HTTP/1.1\r\n${host}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`, 400],
  'an encoding after chunked': [`POST / HTTP/1.1\r\n${host}Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n`, 400],
  'chunked twice': [`POST / HTTP/1.1\r\n${host}${chunked}${chunked}\r\n0\r\n\r\n`, 400],
  'the identity encoding': [`POST / HTTP/1.1\r\n${host}Transfer-Encoding: identity\r\n\r\n`, 400],
  'almost chunked': [`POST / HTTP/1.1\r\n${host}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`, 400],
  'chunked behind a vertical tab': [`POST / HTTP/1.1\r\n${host}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n`, 400],
  'an expectation that is not met': [`GET / HTTP/1.1\r\n${host}Expect: a-miracle\r\n\r\n`, 417],
  'a head that is too large': [`GET / HTTP/1.1\r\n${host}X-A: ${'a'.repeat(40_000)}\r\n\r\n`, 431],
};

forBothPaths((start) => {
  describe('requests that are refused', () => {
    for (const [name, [request, status]] of Object.entries(refused)) {
      test(name, bounded, async (t) => {
        const upstream = await startUpstream(t);
        const door = await start(t, { upstream: upstream.url });
        const client = await connectRaw(t, door);
        const response = await client.send(request + smuggled).response(request.slice(0, request.indexOf(' ')));
        assert.equal(response.status, status);
        assert.deepEqual(valuesOfField(response, 'connection'), ['close']);
        assert.match(response.body, /^[A-Z_]+: /);
        client.socket.end();
        assert.deepEqual(await client.closed, { error: null });
        assert.ok(client.drained, `more than one answer: ${client.text}`);

        // What was on its way has arrived once a later request has.
        await (await connectRaw(t, door)).request(`GET /later HTTP/1.1\r\n${host}\r\n`);
        assert.deepEqual(
          upstream.requests.map(({ path }) => path),
          ['/later'],
        );
        assert.equal(await metricOf(door.metrics.requestsInFlight), 0);
        assert.equal(await metricOf(door.metrics.requests, { code: String(status) }), 1);
      });
    }

    for (const [name, body] of Object.entries({
      'a chunk that is longer than its size': '5\r\nhelloX\r\n0\r\n\r\n',
      'a chunk size that ends without a carriage return': '5\nhello\r\n0\r\n\r\n',
      'a chunk size that is no number': 'z\r\nhello\r\n0\r\n\r\n',
      'a chunk size beyond all bounds': '10000000000000000\r\nhello\r\n0\r\n\r\n',
      'a chunk extension beyond all bounds': `5;${'a'.repeat(40_000)}\r\nhello\r\n0\r\n\r\n`,
    })) {
      test(`a body with ${name}`, bounded, async (t) => {
        const upstream = await startUpstream(t, () => undefined);
        const door = await start(t, { upstream: upstream.url });
        const client = await connectRaw(t, door);
        client.socket.allowHalfOpen = true;
        client.send(`POST / HTTP/1.1\r\n${host}${chunked}\r\n4\r\ngood\r\n`);
        const { connection } = await upstream.next();
        const { status } = await client.send(body + smuggled).response();
        assert.ok(status === 400 || status === 413);
        // The upstream never takes what it got for a whole request, and is not kept waiting while the client may still read.
        await connection.closed;
        assert.equal(door.connections.size, 1);
        assert.doesNotMatch(upstream.bytes, /\r\n0\r\n\r\n|smuggled/);
        client.socket.end();
        await client.closed;
        await eventually(async () => (await metricOf(door.metrics.requestsInFlight)) === 0);
      });
    }
  });

  describe('requests that are understood', () => {
    test('an absolute target wins over nothing, and goes upstream in origin form', bounded, async (t) => {
      const upstream = await startUpstream(t);
      const door = await start(t, { upstream: upstream.url });
      const client = await connectRaw(t, door);
      await client.request('GET https://APP.test/a?b=//c HTTP/1.1\r\nHost: app.test\r\n\r\n');
      await client.request('GET http://app.test HTTP/1.1\r\nHost: app.test\r\n\r\n');
      const [first, second] = upstream.requests;
      assert.deepEqual([first?.line, first?.header('host')], ['GET /a?b=//c HTTP/1.1', 'APP.test']);
      assert.equal(second?.line, 'GET / HTTP/1.1');
    });

    for (const [method, framing, body, expected] of [
      ['DELETE', chunked, '5\r\nhello\r\n0\r\n\r\n', 'transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n'],
      ['GET', chunked, '5\r\nhello\r\n0\r\n\r\n', 'transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n'],
      [
        'OPTIONS',
        chunked,
        '5;x="y"\r\nhello\r\n0\r\n\r\n',
        'transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
      ],
      ['GET', 'Content-Length: 5\r\n', 'hello', 'content-length: 5\r\n\r\nhello'],
      ['DELETE', 'Content-Length: 5\r\n', 'hello', 'content-length: 5\r\n\r\nhello'],
      ['POST', 'Content-Length: 0\r\n', '', 'content-length: 0\r\n\r\n'],
      ['POST', chunked, '0\r\n\r\n', 'content-length: 0\r\n\r\n'],
      [
        'PUT',
        `Trailer: X-Sum\r\n${chunked}`,
        '5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n',
        'chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
      ],
      ['POST', 'Trailer: X-Sum\r\nContent-Length: 5\r\n', 'hello', 'content-length: 5\r\n\r\nhello'],
      // A body that looks like a request stays a body.
      ['DELETE', chunked, `${smuggledChunk}0\r\n\r\n`, `\r\n\r\n${smuggledChunk}0\r\n\r\n`],
    ] as const) {
      test(
        `the framing of ${method} with ${framing.trim() || 'nothing'}: ${JSON.stringify(body)}`,
        bounded,
        async (t) => {
          const upstream = await startUpstream(t);
          const door = await start(t, { upstream: upstream.url });
          const client = await connectRaw(t, door);
          const { status } = await client.request(`${method} /a HTTP/1.1\r\n${host}${framing}\r\n${body}`);
          assert.equal(status, 200);
          const [request] = upstream.requests;
          assert.ok(request);
          assert.ok(request.connection.text.endsWith(expected), request.connection.text);
          assert.equal(request.header('trailer'), undefined);
          assert.equal(upstream.requests.length, 1);
        },
      );
    }

    test(
      'the bytes of a request are those that were sent, its own fields in their order and case',
      bounded,
      async (t) => {
        const upstream = await startUpstream(t);
        const door = await start(t, { upstream: upstream.url });
        const client = await connectRaw(t, door);
        await client.request(
          `GET /a/%2e%2E/b?c=<"|\\>&d HTTP/1.1\r\nX-Early: 1\r\n${host}uSeR-aGeNt: tést\r\nX-List: a\r\nX-List: b\r\nX-Empty:\r\n\r\n`,
        );
        const forwarded =
          'x-forwarded-for: 127.0.0.1\r\nx-forwarded-proto: https\r\nx-forwarded-host: app.test\r\nx-forwarded-port: 443\r\n' +
          'forwarded: for=127.0.0.1;host=app.test;proto=https\r\n';
        assert.equal(
          upstream.bytes.replace(/x-request-id: [0-9a-f-]{36}\r\n/, ''),
          'GET /a/%2e%2E/b?c=<"|\\>&d HTTP/1.1\r\nhost: app.test\r\nconnection: keep-alive\r\n' +
            `X-Early: 1\r\nuSeR-aGeNt: tést\r\nX-List: a\r\nX-List: b\r\nX-Empty: \r\n${forwarded}\r\n`,
        );
      },
    );

    test('a wish for another protocol that is passed over ends the connection', bounded, async (t) => {
      // `node:http` loses what it has read behind such a request, so a later one could begin in the middle.
      for (const head of [
        `GET /a HTTP/1.1\r\n${host}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n`,
        `GET /a HTTP/1.0\r\n${host}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n`,
        `POST /a HTTP/1.1\r\n${host}Connection: Upgrade\r\nUpgrade: x\r\nContent-Length: 2\r\n\r\nhi`,
      ]) {
        const upstream = await startUpstream(t);
        const door = await start(t, { upstream: upstream.url });
        const client = await connectRaw(t, door);
        const response = await client.send(head + smuggled).response();
        assert.equal(response.status, 200);
        assert.deepEqual(valuesOfField(response, 'connection'), ['close']);
        client.socket.end();
        await client.closed;
        assert.deepEqual(
          upstream.requests.map(({ path, names }) => [
            path,
            names.includes('upgrade') || names.includes('http2-settings'),
          ]),
          [['/a', false]],
        );
      }
    });
  });

  describe('slow and large heads', atOnce, () => {
    test('a head that takes too long is refused with 408', bounded, async (t) => {
      const door = await start(t, { upstream: [], proxy: { headersTimeout: 100 } });
      const client = await connectRaw(t, door);
      const response = await client.send('GET / HTTP/1.1\r\nHost: app').response();
      assert.equal(response.status, 408);
      client.socket.end();
      await client.closed;
    });

    test('a client that sends nothing at all is refused as well', bounded, async (t) => {
      const door = await start(t, { upstream: [], proxy: { headersTimeout: 100 } });
      const client = await connectRaw(t, door);
      assert.equal((await client.response()).status, 408);
    });

    test('a connection that is closed by neither side is destroyed after the last words', bounded, async (t) => {
      const door = await start(t, { upstream: [] });
      const client = await connectRaw(t, door);
      client.socket.allowHalfOpen = true;
      await client.send('nonsense\r\n\r\n').response();
      await eventually(() => door.connections.size === 0);
    });

    test('metrics count what the parser refused', bounded, async (t) => {
      const door = await start(t, { upstream: [] });
      await (await connectRaw(t, door)).send('nonsense\r\n\r\n').response();
      assert.deepEqual(await valuesOf(door.metrics.requests), { 'other,400': 1 });
    });
  });
});
