import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import type { UpstreamOptions } from '../../src/upstream/index.ts';
import { startDeafServer } from '../support/deaf-server.ts';
import { bounded, controlTime, eventually } from '../support/swivel.ts';
import { type RecordingUpstream, response, type Script, startUpstream, unusedPort } from '../support/upstream.ts';
import { Line } from './support/caller.ts';

const megabyte = 1024 * 1024;
const chunked = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n';

async function setUp(t: TestContext, script: Script | string, options: Partial<UpstreamOptions> = {}) {
  const upstream = await startUpstream(t, typeof script === 'string' ? () => script : script);
  return { upstream, line: new Line(t, upstream.url, options) };
}

/** A body in which every octet tells where it belongs. */
function pattern(size: number): string {
  const bytes = Buffer.alloc(size);
  for (let i = 0; i < size; i += 1) bytes[i] = (i * 7 + (i >> 8) * 13 + (i >> 16)) & 0xff;
  return bytes.toString('latin1');
}

/** Over which connection each request came. */
function routesOf({ connections, requests }: RecordingUpstream): string[] {
  return requests.map(({ path, connection }) => `${path} ${connections.indexOf(connection)}`);
}

describe('a connection that is kept', () => {
  test('carries one request after another', bounded, async (t) => {
    const { upstream, line } = await setUp(t, ({ path }) => response(path));
    for (const path of ['/a', '/b', '/c']) {
      const { body, reused } = await line.get(path);
      assert.deepEqual([body, reused], [path, path !== '/a']);
    }
    assert.equal(upstream.connections.length, 1);
    assert.match(upstream.bytes, /^GET \/a HTTP\/1\.1\r\nhost: app\.test\r\nconnection: keep-alive\r\n\r\nGET \/b /);
  });

  test('can be taken again by whoever is told the end, who then hears of his own request only', bounded, async (t) => {
    const { upstream, line } = await setUp(t, ({ path }) => response(path));
    const second = Promise.withResolvers<ReturnType<typeof line.ask>>();
    const first = line.ask({
      path: '/1',
      on: (event) => {
        if (event === 'end') second.resolve(line.ask({ path: '/2' }));
      },
    });
    const { body, reused, events } = await (await second.promise).over;
    assert.deepEqual([first.body, body, reused], ['/1', '/2', true]);
    assert.deepEqual(first.events, ['wire', 'sent', 'head', 'data', 'end']);
    assert.deepEqual(events, ['wire', 'sent', 'head', 'data', 'end']);
    assert.equal(upstream.connections.length, 1);
  });

  test('is used before those that rest for longer', bounded, async (t) => {
    const { upstream, line } = await setUp(t, () => undefined);
    const [a, b] = [line.ask({ path: '/a' }), line.ask({ path: '/b' })];
    await upstream.next();
    await upstream.next();
    const answer = async (path: string) => {
      upstream.requests.findLast((request) => request.path === path)?.reply(response(path));
    };
    answer('/b');
    await b.over;
    answer('/a');
    await a.over;
    const connectionOf = (path: string) => upstream.requests.find((request) => request.path === path)?.connection;
    line.ask({ path: '/c' });
    assert.equal((await upstream.next()).connection, connectionOf('/a'));
    line.ask({ path: '/d' });
    assert.equal((await upstream.next()).connection, connectionOf('/b'));
  });

  test('is passed over by who wants a fresh one', bounded, async (t) => {
    const { upstream, line } = await setUp(t, response());
    await line.get('/a');
    const { reused } = await line.ask({ path: '/b', fresh: true }).over;
    assert.deepEqual([reused, routesOf(upstream)], [false, ['/a 0', '/b 1']]);
  });

  test('that was not wanted after all goes to the next', bounded, async (t) => {
    const { upstream, line } = await setUp(t, response());
    const unwanted = line.ask({
      on: (event, caller) => {
        if (event !== 'wire') return;
        caller.events.push('gave back');
        caller.wire?.giveBack();
      },
    });
    await unwanted.until(() => unwanted.events.length > 0);
    assert.equal((await line.get('/a')).reused, true);
    assert.deepEqual([unwanted.events, routesOf(upstream)], [['wire', 'gave back'], ['/a 0']]);
  });

  for (const [fields, milliseconds] of [
    [[], 4000],
    [['Keep-Alive: timeout=10, max=100'], 8000],
    [['Keep-Alive: max=5;timeout=3'], 1000],
    [['Keep-Alive: timeout=999999'], 600_000],
  ] as const) {
    test(`rests for ${milliseconds} ms with ${fields.join() || 'no hint'}`, bounded, async (t) => {
      const time = controlTime(t);
      const { upstream, line } = await setUp(t, response('ok', fields), { idleTimeout: 100 });
      await line.get();
      const [connection] = upstream.connections;
      await time.pass(milliseconds - 1);
      assert.equal((await line.get()).reused, true);
      await time.pass(milliseconds);
      await connection?.closed;
      assert.equal((await line.get()).reused, false);
    });
  }

  for (const hint of ['timeout=0', 'timeout=1', 'timeout=2']) {
    test(`is not kept where the upstream keeps it for hardly any time (${hint})`, bounded, async (t) => {
      const { upstream, line } = await setUp(t, response('ok', [`Keep-Alive: ${hint}`]));
      assert.equal((await line.get()).outcome, 'end');
      await upstream.connections[0]?.closed;
    });
  }

  test('that hears something nobody asked for is closed', bounded, async (t) => {
    const { upstream, line } = await setUp(t, ({ path }) => response(path));
    const { body } = await line.get('/a');
    const [connection] = upstream.connections;
    connection?.socket.write('HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
    await connection?.closed;
    const next = await line.get('/b');
    assert.deepEqual([body, next.body, next.reused], ['/a', '/b', false]);
  });

  for (const [name, leave] of Object.entries({
    ends: ({ connections }: RecordingUpstream) => connections[0]?.socket.end(),
    'is reset': ({ connections }: RecordingUpstream) => connections[0]?.socket.resetAndDestroy(),
  })) {
    test(`that ${name} while it rests is replaced`, bounded, async (t) => {
      const { upstream, line } = await setUp(t, response());
      await line.get();
      leave(upstream);
      await upstream.connections[0]?.closed;
      await eventually(async () => !(await line.get()).reused);
    });
  }

  for (const [name, text] of Object.entries({
    'a body': response('ok'),
    chunks: `${chunked}2\r\nok\r\n0\r\n\r\n`,
    'an answer without a body': 'HTTP/1.1 204 No Content\r\n\r\n',
    'an answer for the tolerant reader': response('ok', Array(250).fill('X-A: b')),
  })) {
    test(`what comes behind ${name} is no answer to whoever asks next`, bounded, async (t) => {
      const { upstream, line } = await setUp(t, ({ path }) =>
        path === '/1' ? text + response('stray') : response(path),
      );
      const next = Promise.withResolvers<ReturnType<typeof line.ask>>();
      line.ask({ path: '/1', on: (event) => event === 'end' && next.resolve(line.ask({ path: '/2' })) });
      const { body, reused } = await (await next.promise).over;
      assert.deepEqual([body, reused], ['/2', false]);
      await upstream.connections[0]?.closed;
    });
  }

  for (const [name, text, method] of [
    ['is closed when the upstream says so', response('ok', ['Connection: X-A, Close']), 'GET'],
    ['is closed after HTTP/1.0', 'HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok', 'GET'],
    ['is closed when more came than the body', `${response('ok')}HTTP/1.1 200 OK\r\n`, 'GET'],
    ['is closed when more came than the chunks', `${chunked}2\r\nok\r\n0\r\n\r\n0`, 'GET'],
    ['is closed when a body came where none may be', 'HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\nok', 'GET'],
    ['is closed when HEAD was answered with a body', response('ok'), 'HEAD'],
  ] as const) {
    test(name, bounded, async (t) => {
      const { upstream, line } = await setUp(t, text);
      assert.equal((await line.ask({ method }).over).outcome, 'end');
      await upstream.connections[0]?.closed;
    });
  }

  for (const [name, text, method] of [
    ['HTTP/1.0 that says so', 'HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nok', 'GET'],
    ['204 without a length', 'HTTP/1.1 204 No Content\r\n\r\n', 'GET'],
    ['304 with a length', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 20\r\n\r\n', 'GET'],
    ['304 in chunks', 'HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n', 'GET'],
    ['an answer to HEAD without a length', 'HTTP/1.1 200 OK\r\n\r\n', 'HEAD'],
    ['an answer to HEAD with a length', 'HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n', 'HEAD'],
    ['an empty body', response(''), 'GET'],
    ['an empty body in chunks', `${chunked}0\r\n\r\n`, 'GET'],
  ] as const) {
    test(`is kept after ${name}`, bounded, async (t) => {
      const { line } = await setUp(t, text);
      assert.equal((await line.ask({ method }).over).outcome, 'end');
      assert.equal((await line.ask({ method }).over).reused, true);
    });
  }
});

describe('an upstream that closes', () => {
  for (const [name, text, told] of [
    ['without an answer', '', 'closed'],
    ['in the middle of a head', 'HTTP/1.1 200 OK\r\nContent-Le', 'closed'],
    ['behind an interim answer', 'HTTP/1.1 103 Early Hints\r\n\r\n', 'closed'],
    ['in the middle of a body', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel', 'closed'],
    ['in the middle of a chunk', `${chunked}5\r\nhel`, 'closed'],
    ['between chunks', `${chunked}5\r\nhello\r\n`, 'closed'],
    ['before the end of the trailers', `${chunked}5\r\nhello\r\n0\r\nX-Sum: 1\r\n`, 'closed'],
    ['at the end of a body that ends so', 'HTTP/1.1 200 OK\r\n\r\nhello', 'end'],
    ['at the end of a body that ends so, of HTTP/1.0', 'HTTP/1.0 200 OK\r\n\r\nhello', 'end'],
  ] as const) {
    test(`${name}: ${told}`, bounded, async (t) => {
      const { line } = await setUp(t, ({ connection }) => connection.socket.end(text, 'latin1'));
      const { outcome, body, endsWithConnection } = await line.get();
      assert.equal(outcome, told);
      if (told === 'end') assert.deepEqual([body, endsWithConnection], ['hello', true]);
    });

    test(`${name}, by a reset: no end`, bounded, async (t) => {
      const { upstream, line } = await setUp(t, () => text || undefined);
      const caller = line.ask();
      const { connection } = await upstream.next();
      if (text.includes('hel')) await caller.until(() => caller.body.includes('hel'));
      connection.socket.resetAndDestroy();
      assert.deepEqual([(await caller.over).trailers, caller.events.at(-1)], [null, 'error']);
    });
  }

  test('while nobody can be reached: told once, as unreachable', bounded, async (t) => {
    const line = new Line(t, `http://127.0.0.1:${await unusedPort()}`);
    assert.deepEqual((await line.get()).events, ['unreachable']);
  });
});

describe('the body of a request', () => {
  test('goes as it is, or in chunks', bounded, async (t) => {
    const { upstream, line } = await setUp(t, () => undefined);
    for (const [framing, sent] of [
      [{ length: 6 }, 'onetwo'],
      ['chunked', '3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n'],
    ] as const) {
      const caller = line.ask({ method: 'POST', framing });
      const request = await upstream.next();
      caller.wire?.write(Buffer.from('one'));
      caller.wire?.write(Buffer.from('two'));
      caller.wire?.end();
      assert.equal(await request.body, sent);
      request.reply(response('ok'));
      assert.equal((await caller.over).outcome, 'end');
    }
    assert.equal(upstream.connections.length, 1);
  });

  for (const [name, part] of [
    ['too long', 'sixteen octets GET /smuggled HTTP/1.1\r\n\r\n'],
    ['too short', 'ten octets'],
  ] as const) {
    test(`that is ${name}: nothing is sent that could be taken for a request`, bounded, async (t) => {
      const { upstream, line } = await setUp(t, () => undefined);
      const caller = line.ask({ method: 'POST', framing: { length: 16 } });
      const { connection } = await upstream.next();
      caller.wire?.write(Buffer.from(part));
      caller.wire?.end();
      assert.equal((await caller.over).outcome, 'body');
      await connection.closed;
      assert.doesNotMatch(upstream.bytes, /smuggled/);
    });
  }

  test('that is answered early: the answer is whole, and the connection is not used again', bounded, async (t) => {
    const { upstream, line } = await setUp(t, ({ line: start }) =>
      response('no', [], start.startsWith('POST') ? '413 Content Too Large' : '200 OK'),
    );
    const caller = line.ask({ method: 'POST', framing: { length: 100 } });
    const { status, body, outcome } = await caller.over;
    assert.deepEqual([status, body, outcome], [413, 'no', 'end']);
    await upstream.connections[0]?.closed;
    assert.equal((await line.get()).reused, false);
  });

  test('is held up by an upstream that does not read, until it does', bounded, async (t) => {
    const size = 32 * megabyte;
    const { upstream, line } = await setUp(t, ({ connection }) => connection.socket.pause());
    const caller = line.ask({ method: 'PUT', framing: { length: size } });
    const { connection } = await upstream.next();
    const part = Buffer.alloc(megabyte / 4);
    let sent = 0;
    while (sent < size && caller.wire?.write(part) !== false) sent += part.length;
    assert.ok(sent < size);
    connection.socket.setEncoding('latin1').resume();
    await caller.until(() => caller.events.includes('writable'));
  });

  test('an answer that is on its way is read, though the rest of the body cannot be sent', bounded, async (t) => {
    const { line } = await setUp(t, ({ connection }) => {
      connection.socket.end(response('no', ['Connection: close'], '413 Content Too Large'), () => {
        connection.socket.destroy();
      });
    });
    const part = Buffer.alloc(64 * 1024);
    const send = (caller: ReturnType<typeof line.ask>) => {
      while (caller.outcome === '' && caller.wire?.write(part));
    };
    const caller = line.ask({
      method: 'POST',
      framing: { length: 256 * megabyte },
      on: (event, caller) => event === 'writable' && send(caller),
    });
    await caller.until(() => caller.events.includes('sent'));
    send(caller);
    const { status, outcome } = await caller.over;
    assert.deepEqual([status, outcome], [413, 'end']);
  });
});

describe('answers', () => {
  test('tell head, body and trailers, and when all of what was read was told', bounded, async (t) => {
    const text = `${chunked.replace('OK', 'Fine')}5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nX-Sum: 1\r\nx-b:\t2 \r\n\r\n`;
    const { upstream, line } = await setUp(t, () => undefined);
    const caller = line.ask();
    const request = await upstream.next();
    request.reply(text.slice(0, -10));
    await caller.until(() => caller.events.includes('read'));
    request.reply(text.slice(-10));
    const { status, headers, body, trailers, events, endsWithConnection } = await caller.over;
    assert.deepEqual([status, body, endsWithConnection], [200, 'hello!', false]);
    assert.deepEqual(
      [headers, trailers],
      [
        ['Transfer-Encoding', 'chunked'],
        ['X-Sum', '1', 'x-b', '2'],
      ],
    );
    assert.deepEqual(events, ['wire', 'sent', 'head', 'data', 'data', 'read', 'end']);
  });

  test('are the same in pieces of one octet', bounded, async (t) => {
    const text = `HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n${chunked}5;a=b\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n`;
    const { upstream, line } = await setUp(t, () => undefined);
    const caller = line.ask();
    const { connection } = await upstream.next();
    connection.socket.setNoDelay(true);
    for (const octet of text) await new Promise((done) => connection.socket.write(octet, 'latin1', done));
    const { informed, status, body, trailers } = await caller.over;
    assert.deepEqual([informed, status, body, trailers], [[103], 200, 'hello', ['X-Sum', '1']]);
  });

  test('may be preceded by any number of interim ones', bounded, async (t) => {
    const interim = [100, 102, 103].map((status) => `HTTP/1.1 ${status} X\r\nContent-Length: 9\r\n\r\n`).join('');
    const { line } = await setUp(t, interim + response('ok'));
    const { informed, body, status } = await line.get();
    assert.deepEqual([informed, status, body], [[100, 102, 103], 200, 'ok']);
    assert.equal((await line.get()).reused, true);
  });

  for (const [name, text, body, method = 'GET'] of [
    ['more than 200 fields', response('ok', Array(300).fill('X-A: b')), 'ok'],
    ['an encoding before the chunks', `${chunked.replace('chunked', 'gzip, chunked')}2\r\nok\r\n0\r\n\r\n`, 'ok'],
    ['an empty reason', 'HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok', 'ok'],
    ['no reason', 'HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok', 'ok'],
    ['blanks around a value', 'HTTP/1.1 200 OK\r\nContent-Length:  \t2\t \r\n\r\nok', 'ok'],
    ['a fold', 'HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 2\r\n\r\nok', null],
    ['line ends without a carriage return', 'HTTP/1.1 200 OK\nContent-Length: 2\n\nok', null],
    ['a blank before a colon', 'HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok', null],
    ['two lengths that agree', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok', null],
    ['a length and chunks', `${chunked.replace('\r\n', '\r\nContent-Length: 2\r\n')}2\r\nok\r\n0\r\n\r\n`, null],
    ['a length that is none', 'HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok', null],
    ['a length beyond all bounds', `HTTP/1.1 200 OK\r\nContent-Length: ${'9'.repeat(30)}\r\n\r\nok`, null],
    ['a version that nobody knows', 'HTTP/3.0 200 OK\r\nContent-Length: 2\r\n\r\nok', null],
    ['a status that is none', 'HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok', null],
    ['a NUL', 'HTTP/1.1 200 OK\r\nX-A: \0\r\nContent-Length: 2\r\n\r\nok', null],
    ['no HTTP', '220 mail.test ESMTP\r\n', null],
    ['a chunk that is longer than it says', `${chunked}2\r\noops\r\n0\r\n\r\n`, null],
    ['a chunk size that is none', `${chunked}x\r\n`, null],
    ['trailers that are none', `${chunked}2\r\nok\r\n0\r\nX A\r\n\r\n`, null],
    [
      'a switch of protocols that nobody asked for',
      'HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n',
      null,
    ],
    ['a head beyond 64 KiB', `HTTP/1.1 200 OK\r\nX-A: ${'a'.repeat(70_000)}\r\n\r\n`, null],
    ['a head beyond 64 KiB that does not end', `HTTP/1.1 200 OK\r\nX-A: ${'a'.repeat(70_000)}`, null],
    ['a head beyond 64 KiB of which no octet is plain', `HTTP/1.1 200 OK\r\nX A: ${'a'.repeat(70_000)}\r\n\r\n`, null],
  ] as readonly (readonly [string, string, string | null, string?])[]) {
    test(`with ${name}: ${body === null ? 'refused' : 'taken'}`, bounded, async (t) => {
      const { upstream, line } = await setUp(t, text);
      const caller = await line.ask({ method }).over;
      if (body === null) {
        assert.equal(caller.outcome, 'invalid');
        await upstream.connections[0]?.closed;
      } else assert.deepEqual([caller.outcome, caller.body], ['end', body]);
    });
  }
});

/** Answers for Node's own parser as well as for ours: more fields are not plain. */
const notPlain = Array(250).fill('X-A: b').join('\r\n');
const bodies = {
  'of known length': (body: string) => `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  'in chunks': (body: string) => {
    const chunks = body.match(/.{1,100000}/gs) ?? [];
    return `${chunked}${chunks.map((chunk) => `${chunk.length.toString(16)}\r\n${chunk}\r\n`).join('')}0\r\n\r\n`;
  },
  'for the tolerant reader': (body: string) =>
    `HTTP/1.1 200 OK\r\n${notPlain}\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
};

describe('a reader who pauses', () => {
  for (const [name, write] of Object.entries(bodies)) {
    test(`a body ${name} is whole, however often`, bounded, async (t) => {
      const text = pattern(4 * megabyte);
      const { line } = await setUp(t, () => write(text));
      let pauses = 0;
      const caller = await line.ask({
        on: (event, { wire }) => {
          if (event !== 'data' || !wire) return;
          pauses += 1;
          wire.pause();
          setImmediate(() => wire.resume());
        },
      }).over;
      assert.equal(caller.outcome, 'end');
      assert.ok(caller.body === text);
      assert.ok(pauses > 10);
    });

    test(`a body ${name} is whole after one pause, and missed when it stops then`, bounded, async (t) => {
      const text = pattern(4 * megabyte);
      const whole = write(text);
      const { line } = await setUp(t, () => whole.slice(0, -10), { idleTimeout: 100 });
      const caller = line.ask({
        on: (event, { wire, events }) => {
          if (event !== 'data' || events.filter((before) => before === 'data').length > 1) return;
          wire?.pause();
          setImmediate(() => setImmediate(() => wire?.resume()));
        },
      });
      assert.equal((await caller.over).outcome, 'timeout');
      assert.ok(caller.size >= text.length - 10);
    });

    test(`a body ${name} is not read on`, bounded, async (t) => {
      const { upstream, line } = await setUp(t, () => write('x'.repeat(64 * megabyte)));
      const caller = line.ask({ on: (event, { wire }) => event === 'data' && wire?.pause() });
      const { socket } = (await upstream.next()).connection;
      await caller.until(() => caller.size > 0);
      const taken = () => socket.bytesWritten - socket.writableLength;
      let [before, still] = [taken(), 0];
      await eventually(() => {
        still = taken() === before ? still + 1 : 0;
        before = taken();
        return still === 200;
      });
      assert.ok(caller.size < megabyte && before < 32 * megabyte, `${caller.size} of ${before}`);
      caller.wire?.abandon();
    });
  }

  for (const name of ['of known length', 'in chunks'] as const) {
    test(`at the end of a body ${name}: the connection goes on and is read`, bounded, async (t) => {
      const { line } = await setUp(t, ({ path }) => bodies[name](path));
      const last = await line.ask({ path: '/1', on: (event, { wire }) => event === 'data' && wire?.pause() }).over;
      assert.deepEqual([last.outcome, last.body], ['end', '/1']);
      const next = await line.get('/2');
      assert.deepEqual([next.reused, next.body], [true, '/2']);
    });
  }
});

describe('time', () => {
  const short = { responseTimeout: 60, idleTimeout: 60 };

  test('an answer that does not come is not waited for', bounded, async (t) => {
    const { upstream, line } = await setUp(t, () => undefined, { ...short, idleTimeout: 10_000 });
    assert.equal((await line.get()).outcome, 'timeout');
    await upstream.connections[0]?.closed;
  });

  for (const [name, head] of Object.entries({
    'of known length': 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello',
    'in chunks': `${chunked}5\r\nhello\r\n`,
    'for the tolerant reader': `HTTP/1.1 200 OK\r\n${notPlain}\r\nContent-Length: 9\r\n\r\nhello`,
  })) {
    test(`a body ${name} that does not move is not waited for`, bounded, async (t) => {
      const { line } = await setUp(t, head, { ...short, responseTimeout: 10_000 });
      const { outcome, body } = await line.get();
      assert.deepEqual([outcome, body], ['timeout', 'hello']);
    });

    test(`a body ${name} that nobody reads is no fault of the upstream's`, bounded, async (t) => {
      const time = controlTime(t);
      const { line } = await setUp(t, head, short);
      const caller = line.ask({ on: (event, { wire }) => event === 'data' && wire?.pause() });
      await caller.until(() => caller.size > 0);
      await time.pass(1000);
      await time.pass(1000);
      assert.equal(caller.outcome, '');
      caller.wire?.resume();
      await time.pass(1000);
      await time.pass(1000);
      assert.equal(caller.outcome, 'timeout');
    });
  }

  test('a body that the client does not send is no fault of the upstream', bounded, async (t) => {
    const time = controlTime(t);
    const { upstream, line } = await setUp(t, () => undefined, short);
    const caller = line.ask({ method: 'POST', framing: { length: 2 } });
    await upstream.next();
    for (let i = 0; i < 5; i += 1) await time.pass(1000);
    assert.equal(caller.outcome, '');
    caller.wire?.write(Buffer.from('ok'));
    caller.wire?.end();
    await time.pass(1000);
    await time.pass(1000);
    assert.equal(caller.outcome, 'timeout');
  });

  test('a body that the upstream does not take is', bounded, async (t) => {
    const { upstream, line } = await setUp(t, ({ connection }) => connection.socket.pause(), short);
    const caller = line.ask({ method: 'PUT', framing: { length: 64 * megabyte } });
    await upstream.next();
    while (caller.wire?.write(Buffer.alloc(megabyte)));
    assert.equal((await caller.over).outcome, 'timeout');
  });
});

describe('closing', () => {
  test('ends requests under way and connections at rest, and takes no more', bounded, async (t) => {
    const { upstream, line } = await setUp(t, ({ path }) => (path === '/' ? response() : undefined));
    const [resting, waiting] = [line.ask(), line.ask({ path: '/waiting' })];
    await resting.over;
    await upstream.next();
    await upstream.next();
    line.wires.close();
    assert.deepEqual([waiting.outcome, waiting.events.at(-1)], ['stopping', 'error']);
    await Promise.all(upstream.connections.map(({ closed }) => closed));
    const late = line.ask();
    assert.deepEqual([late.events, late.outcome], [['unreachable'], 'stopping']);
  });

  test('ends those that wait for a connection', bounded, async (t) => {
    const line = new Line(t, `http://127.0.0.1:${await startDeafServer(t)}`);
    const caller = line.ask();
    line.wires.close();
    assert.deepEqual([caller.events, caller.outcome], [['unreachable'], 'stopping']);
  });

  test('cuts an answer, also one for the tolerant reader', bounded, async (t) => {
    for (const head of ['', `${notPlain}\r\n`]) {
      const { line } = await setUp(t, `HTTP/1.1 200 OK\r\n${head}Content-Length: 9\r\n\r\nhello`);
      const caller = line.ask();
      await caller.until(() => caller.size > 0);
      line.wires.close();
      assert.equal((await caller.over).outcome, 'stopping');
    }
  });
});

describe('a user who lets go', () => {
  const hints = 'HTTP/1.1 103 Early Hints\r\n\r\n';
  for (const [name, write] of Object.entries(bodies)) {
    for (const moment of ['sent', 'inform', 'head', 'data']) {
      test(
        `when it is told "${moment}" of an answer ${name}: hears no more, and the connection ends`,
        bounded,
        async (t) => {
          const { upstream, line } = await setUp(t, hints + write('hello') + write('again'));
          const caller = line.ask({ on: (event, { wire }) => event === moment && wire?.abandon() });
          await caller.until(() => caller.events.includes(moment));
          const heard = caller.events.length;
          await eventually(() => upstream.connections.length > 0);
          await upstream.connections[0]?.closed;
          assert.equal(caller.events.length, heard);
          assert.equal((await line.get()).reused, false);
        },
      );
    }
  }
});
