import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import { connect } from 'node:tls';
import { WebSocket, WebSocketServer } from 'ws';
import { startDeafServer } from '../support/deaf-server.ts';
import { connectRaw, RawClient, valuesOfField } from '../support/raw-client.ts';
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

const upgrade = (path = '/socket', fields = '') =>
  `GET ${path} HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${fields}\r\n`;
const switching = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n';

async function setUp(t: TestContext, script: Script, options: Parameters<typeof startFrontDoor>[1] = {}) {
  const upstream = await startUpstream(t, script);
  const door = await startFrontDoor(t, { upstream: upstream.url, ...options });
  return { upstream, door, client: await connectRaw(t, door) };
}

/** Waits until nothing is left of any connection, and looks whether everything was counted. */
async function nothingLeft(door: TestFrontDoor): Promise<void> {
  await eventually(() => door.connections.size === 0);
  assert.equal(await metricOf(door.metrics.requestsInFlight), 0);
}

describe('WebSockets', () => {
  test('echo: texts, binaries, large ones and the close all go through', bounded, async (t) => {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
    await once(server, 'listening');
    t.after(() => server.close());
    server.on('connection', (socket) =>
      socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary })),
    );
    const { port } = server.address() as { port: number };
    const door = await startFrontDoor(t, { upstream: `http://127.0.0.1:${port}` });
    const options = { ca: door.ca, servername: 'app.test', headers: { host: 'app.test' } };
    const client = new WebSocket(`wss://127.0.0.1:${door.port}/echo`, ['one', 'two'], options);
    await once(client, 'open');
    assert.equal(client.protocol, 'one');
    for (const message of [Buffer.from('text'), Buffer.alloc(4 * 1024 * 1024, 'x')]) {
      client.send(message);
      assert.deepEqual((await once(client, 'message'))[0], message);
    }
    client.close(4321, 'enough');
    const [code, reason] = await once(client, 'close');
    assert.deepEqual([code, String(reason)], [4321, 'enough']);
    await nothingLeft(door);
    assert.deepEqual(await valuesOf(door.metrics.requests), { 'GET,101': 1 });
    assert.deepEqual(await valuesOf(door.metrics.upstreamRequests), { 'default,success': 1 });
  });
});

describe('the request for another protocol', () => {
  test(
    'keeps its path, its protocol and its own fields; forwarding fields are written, others go',
    bounded,
    async (t) => {
      const { client, upstream } = await setUp(t, () => switching);
      const fields = [
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
        'Sec-WebSocket-Version: 13',
        'Sec-WebSocket-Protocol: chat',
        'Sec-WebSocket-Protocol: superchat',
        'Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits',
        'Cookie: a=1',
        'Connection: X-Private',
        'X-Private: 1',
        'X-Forwarded-For: 6.6.6.6',
        'Proxy-Authorization: Basic x',
        'X-Odd: caf\xe9',
        'Constructor: x',
        '__proto__: y',
      ];
      await client.send(upgrade('/a//%2e?b?c&', `${fields.join('\r\n')}\r\n`)).until('101');
      const [request] = upstream.requests;
      assert.ok(request);
      assert.equal(request.line, 'GET /a//%2e?b?c& HTTP/1.1');
      const own = request.fields.flatMap((name, i) => (i % 2 === 0 ? [`${name}: ${request.fields[i + 1]}`] : []));
      assert.deepEqual(own.filter((line) => !line.startsWith('x-request-id')).sort(), [
        '__proto__: y',
        'connection: Upgrade',
        'constructor: x',
        'cookie: a=1',
        'forwarded: for=127.0.0.1;host=app.test;proto=https',
        'host: app.test',
        'sec-websocket-extensions: permessage-deflate; client_max_window_bits',
        'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==',
        'sec-websocket-protocol: chat',
        'sec-websocket-protocol: superchat',
        'sec-websocket-version: 13',
        'upgrade: websocket',
        'x-forwarded-for: 127.0.0.1',
        'x-forwarded-host: app.test',
        'x-forwarded-port: 443',
        'x-forwarded-proto: https',
        'x-odd: caf\xe9',
      ]);
    },
  );

  test('may ask for any protocol, by any method', bounded, async (t) => {
    const { client, upstream } = await setUp(t, () => switching.replace('websocket', 'tftp/2, x'));
    client.send(upgrade().replace('GET', 'POST').replace('websocket', 'tftp/2, x'));
    await client.until('101');
    const [request] = upstream.requests;
    assert.deepEqual([request?.line, request?.header('upgrade')], ['POST /socket HTTP/1.1', 'tftp/2, x']);
    assert.deepEqual(valuesOfField(await client.response(), 'upgrade'), ['tftp/2, x']);
  });

  for (const [name, request, status] of [
    ['two Host fields', upgrade('/', 'Host: app.test\r\n'), 400],
    ['a target that names another host', upgrade('http://evil.test/'), 400],
    ['no route', upgrade('/elsewhere'), 404],
  ] as const) {
    test(`is refused like any other: ${name}`, bounded, async (t) => {
      const proxy = { routes: [{ path: '/socket', upstream: 'default' }] };
      const { client, upstream, door } = await setUp(t, () => switching, { proxy });
      const answer = await client.request(request);
      assert.deepEqual([answer.status, valuesOfField(answer, 'connection')], [status, ['close']]);
      client.socket.end();
      assert.deepEqual(await client.closed, { error: null });
      await nothingLeft(door);
      assert.equal(upstream.requests.length, 0);
      assert.deepEqual(await valuesOf(door.metrics.requests), { [`GET,${status}`]: 1 });
    });
  }

  test('does not mix with others that are asked at the same time', bounded, async (t) => {
    const { door, upstream } = await setUp(t, () => undefined);
    const paths = Array.from({ length: 20 }, (_, i) => `/${i}`);
    const clients = await Promise.all(paths.map(() => connectRaw(t, door)));
    for (const [i, client] of clients.entries()) client.send(upgrade(paths[i]));
    const requests = await Promise.all(paths.map(() => upstream.next()));
    // Half of them refused, in an order of their own.
    for (const request of requests.reverse()) {
      const odd = Number(request.path.slice(1)) % 2 === 1;
      request.reply(odd ? response(request.path, [], '403 Forbidden') : `${switching}${request.path}`);
    }
    for (const [i, client] of clients.entries()) {
      const answer = await client.response();
      if (i % 2 === 1) assert.deepEqual([answer.status, answer.body], [403, `/${i}`]);
      else await client.until(`\r\n\r\n/${i}`);
    }
    assert.deepEqual(await valuesOf(door.metrics.requests), { 'GET,101': 10, 'GET,403': 10 });
  });
});

describe('the switch', () => {
  test('passes the fields of the upstream on, and what either side sends right behind its head', bounded, async (t) => {
    const fields =
      'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-Odd: caf\xe9\r\n';
    const { client, upstream } = await setUp(t, () => switching.replace('\r\n\r\n', `\r\n${fields}\r\nfrom upstream`));
    client.send(`${upgrade()}from the client`);
    await client.until('from upstream');
    await upstream.connections[0]?.until('from the client');
    const answer = await client.response();
    assert.equal(answer.status, 101);
    const id = upstream.requests[0]?.header('x-request-id');
    assert.deepEqual(answer.fields, [
      ...['sec-websocket-accept', 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=', 'set-cookie', 'a=1', 'set-cookie', 'b=2'],
      ...['x-odd', 'caf\xe9', 'x-request-id', id, 'connection', 'Upgrade', 'upgrade', 'websocket'],
    ]);
    client.send('later');
    await upstream.connections[0]?.until('later');
    upstream.requests[0]?.reply('goodbye');
    await client.until('goodbye');
  });

  test('is remembered: from then on the connection drains as an upgraded one', bounded, async (t) => {
    const { client, door, upstream } = await setUp(t, () => undefined);
    client.send(upgrade());
    const request = await upstream.next();
    assert.equal(door.connections.accepted[0]?.protocol, 'http/1.1');
    request.reply(switching);
    await client.until('101');
    assert.equal(door.connections.accepted[0]?.protocol, 'upgraded');
    assert.equal(await metricOf(door.metrics.requestsInFlight), 0);
  });

  test('of one side that ends does not lose what the other still has to say', bounded, async (t) => {
    const { client, door, upstream } = await setUp(t, () => switching);
    await client.send(upgrade()).until('101');
    const last = 'x'.repeat(1024 * 1024);
    upstream.connections[0]?.socket.end(last);
    await client.closed;
    assert.ok(client.text.endsWith(last));
    await nothingLeft(door);
  });
});

describe('an upstream that does not switch', () => {
  test(
    'its answer goes to the client, without what concerns its connection, and the connection ends',
    bounded,
    async (t) => {
      const fields = ['Keep-Alive: timeout=4', 'Connection: keep-alive', 'X-Odd: caf\xe9', 'WWW-Authenticate: Basic'];
      const { client, door, upstream } = await setUp(t, () => response('who are you?', fields, '401 Unauthorized'));
      const answer = await client.request(upgrade());
      assert.equal(answer.status, 401);
      const id = upstream.requests[0]?.header('x-request-id');
      assert.deepEqual(answer.fields, [
        ...['content-length', '12', 'x-odd', 'caf\xe9', 'www-authenticate', 'Basic'],
        ...['x-request-id', id, 'connection', 'close'],
      ]);
      assert.equal(answer.body, 'who are you?');
      assert.deepEqual(await client.closed, { error: null });
      await nothingLeft(door);
      assert.deepEqual(await valuesOf(door.metrics.requests), { 'GET,401': 1 });
    },
  );

  test('a body in chunks stays one, and is not read faster than the client takes it', bounded, async (t) => {
    const { client, upstream, door } = await setUp(t, () => 'HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n');
    await client.send(upgrade()).until('\r\n\r\n');
    client.socket.pause();
    const { socket } = (await upstream.next()).connection;
    const chunk = `10000\r\n${'x'.repeat(65_536)}\r\n`;
    let chunks = 0;
    let full = 0;
    await eventually(() => {
      if (socket.writableNeedDrain || chunks === 4096) full += 1;
      else {
        full = 0;
        chunks += 1;
        socket.write(chunk);
      }
      return full === 100;
    });
    assert.ok(chunks < 1024, `${chunks} chunks were taken`);
    client.socket.resume();
    socket.end('0\r\n\r\n');
    await client.closed;
    assert.equal((await client.response()).body.length, chunks * 65_536);
    await nothingLeft(door);
  });

  test('a body that is cut does not look complete', bounded, async (t) => {
    const { client, door, upstream } = await setUp(
      t,
      () => 'HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n',
    );
    await client.send(upgrade()).until('part');
    upstream.connections[0]?.socket.resetAndDestroy();
    await client.closed;
    assert.ok(!client.text.includes('\r\n0\r\n'));
    await nothingLeft(door);
  });
});

describe('an upstream that fails', atOnce, () => {
  const failures: Record<string, [Script, status: number, code: string]> = {
    'closes without an answer': [({ connection }) => connection.socket.destroy(), 502, 'UPSTREAM_CLOSED'],
    resets: [({ connection }) => connection.socket.resetAndDestroy(), 502, 'UPSTREAM_CLOSED'],
    'answers with nonsense': [() => 'nonsense\r\n\r\n', 502, 'UPSTREAM_CLOSED'],
    'does not answer in time': [() => undefined, 504, 'UPSTREAM_TIMEOUT'],
  };
  for (const [name, [script, status, code]] of Object.entries(failures)) {
    test(`${name}: ${status}`, bounded, async (t) => {
      const { client, door } = await setUp(t, script, { timeouts: { responseTimeout: 100 } });
      // On a connection that was used before: what was written to it then is not taken for an answer.
      const { status: before } = await client.request('GET /%00 HTTP/1.1\r\nHost: app.test\r\n\r\n');
      assert.equal(before, status);
      const answer = await client.request(upgrade());
      assert.deepEqual([answer.status, answer.body.split(':')[0]], [status, code]);
      client.socket.end();
      await nothingLeft(door);
      assert.deepEqual(await valuesOf(door.metrics.requests), { [`GET,${status}`]: 2 });
    });
  }

  test('cannot be reached: 502', bounded, async (t) => {
    const door = await startFrontDoor(t, { upstream: `http://127.0.0.1:${await unusedPort()}` });
    const client = await connectRaw(t, door);
    const answer = await client.request(upgrade());
    assert.deepEqual([answer.status, answer.body.split(':')[0]], [502, 'UPSTREAM_UNREACHABLE']);
    client.socket.end();
    await nothingLeft(door);
    assert.equal(await metricOf(door.metrics.upstreamTargetHealthy), 0);
  });

  test('cannot be reached: another target is asked', bounded, async (t) => {
    const upstream = await startUpstream(t, () => switching);
    const deaf = await startDeafServer(t);
    const targets = [`http://127.0.0.1:${await unusedPort()}`, `http://127.0.0.1:${deaf}`, upstream.url];
    const door = await startFrontDoor(t, { upstream: targets, timeouts: { connectTimeout: 100 } });
    for (const _ of [1, 2, 3]) await (await connectRaw(t, door)).send(upgrade()).until('101');
    assert.equal(upstream.requests.length, 3);
  });
});

describe('sides that leave', atOnce, () => {
  test('the client, before the answer: the request is given up, and counted as 499', bounded, async (t) => {
    for (const leave of [(client: RawClient) => client.destroy(), (client: RawClient) => client.socket.end()]) {
      const { client, upstream, door } = await setUp(t, () => undefined);
      client.send(upgrade());
      const { connection } = await upstream.next();
      leave(client);
      await connection.closed;
      await nothingLeft(door);
      assert.deepEqual(await valuesOf(door.metrics.requests), { 'GET,499': 1 });
    }
  });

  test('the client, while a target is being connected to: it is not asked any more', bounded, async (t) => {
    const { client, upstream, door } = await setUp(t, () => switching);
    const group = door.upstreams.get('default');
    assert.ok(group);
    const gate = Promise.withResolvers<void>();
    const connect = group.connect.bind(group);
    t.mock.method(group, 'connect', () => gate.promise.then(connect));
    client.send(upgrade());
    await eventually(async () => (await metricOf(door.metrics.requestsInFlight)) === 1);
    client.destroy();
    await nothingLeft(door);
    assert.deepEqual(await valuesOf(door.metrics.requests), { 'GET,499': 1 });
    gate.resolve();
    await eventually(() => upstream.connections.length === 1);
    await upstream.connections[0]?.closed;
    assert.equal(upstream.bytes, '');
  });

  for (const [name, script] of [
    ['before the answer', () => undefined],
    ['after the switch', () => switching],
  ] as [string, Script][]) {
    test(`the client, by a reset ${name}: the process lives, and nothing stays`, bounded, async (t) => {
      const upstream = await startUpstream(t, script);
      const door = await startFrontDoor(t, { upstream: upstream.url });
      const raw = connectTcp(door.port, '127.0.0.1');
      const socket = connect({ socket: raw, ca: door.ca, servername: 'app.test', ALPNProtocols: ['http/1.1'] });
      const client = new RawClient(socket).send(upgrade());
      const { connection } = await upstream.next();
      if (name === 'after the switch') await client.until('101');
      raw.resetAndDestroy();
      await connection.closed;
      await nothingLeft(door);
    });
  }

  test('the upstream, by a reset: the client is closed', bounded, async (t) => {
    const { client, upstream, door } = await setUp(t, () => switching);
    await client.send(upgrade()).until('101');
    upstream.connections[0]?.socket.resetAndDestroy();
    await client.closed;
    await nothingLeft(door);
  });

  test(
    'the client, of an upstream that holds its own side open: its connection ends all the same',
    bounded,
    async (t) => {
      const upstream = await startUpstream(t, () => switching, { allowHalfOpen: true });
      const door = await startFrontDoor(t, { upstream: upstream.url });
      const client = await connectRaw(t, door);
      await client.send(upgrade()).until('101');
      client.destroy();
      const { socket } = (await upstream.next()).connection;
      await once(socket, 'end');
      // What is written to a connection that is gone is answered with a reset.
      await eventually(() => {
        socket.write('x');
        return socket.destroyed;
      });
    },
  );
});
