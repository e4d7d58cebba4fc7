import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { connectRaw, type RawClient, type RawResponse, valuesOfField } from '../support/raw-client.ts';
import { bounded, type TestFrontDoor, valuesOf } from '../support/swivel.ts';
import { type RecordingUpstream, response, type Script, startUpstream } from '../support/upstream.ts';
import { forBothPaths } from './support/paths.ts';

const get = (path = '/', fields = '') => `GET ${path} HTTP/1.1\r\nHost: app.test\r\n${fields}\r\n`;

interface Setting {
  readonly upstream: RecordingUpstream;
  readonly door: TestFrontDoor;
  readonly client: RawClient;
}

forBothPaths((start) => {
  async function setUp(t: TestContext, script: Script | string): Promise<Setting> {
    const upstream = await startUpstream(t, typeof script === 'string' ? () => script : script);
    const door = await start(t, { upstream: upstream.url });
    return { upstream, door, client: await connectRaw(t, door) };
  }

  /** Fields of an answer without those that differ from time to time. */
  function steadyFields({ fields }: RawResponse): string[] {
    const steady: string[] = [];
    for (let i = 0; i < fields.length; i += 2) {
      if (fields[i] !== 'Date' && fields[i] !== 'x-request-id') steady.push(`${fields[i]}: ${fields[i + 1]}`);
    }
    return steady;
  }

  describe('fields of an answer', () => {
    test(
      'keep order, case, bytes and repetition; what concerns the connection to the upstream goes',
      bounded,
      async (t) => {
        const { client } = await setUp(
          t,
          response('ok', [
            'X-Odd: caf\xe9',
            'Set-Cookie: a=1; Path=/',
            'Connection: close, X-Private',
            'X-Private: 1',
            'Keep-Alive: timeout=99',
            'Proxy-Authenticate: Basic',
            'Upgrade: h2c',
            'set-cookie: b=2',
            'Vary: a',
            'Vary: b',
            'X-Empty:',
          ]),
        );
        assert.deepEqual(steadyFields(await client.request(get())), [
          'Content-Length: 2',
          'X-Odd: caf\xe9',
          'Set-Cookie: a=1; Path=/',
          'set-cookie: b=2',
          'Vary: a',
          'Vary: b',
          'X-Empty: ',
          'Connection: keep-alive',
          'Keep-Alive: timeout=10',
        ]);
      },
    );

    test('Date is that of the upstream, or made when there is none; never two', bounded, async (t) => {
      const dates = ['Date: Mon, 01 Jan 2024 00:00:00 GMT'];
      const { client } = await setUp(t, () => response('ok', dates.splice(0)));
      const stamps: string[][] = [];
      for (const _ of [1, 2]) stamps.push(valuesOfField(await client.request(get()), 'date'));
      assert.deepEqual(stamps[0], ['Mon, 01 Jan 2024 00:00:00 GMT']);
      assert.equal(stamps[1]?.length, 1);
    });

    test('X-Request-Id is the one that went upstream, once, whatever the upstream says', bounded, async (t) => {
      const { client, upstream } = await setUp(t, response('ok', ['X-Request-ID: mine', 'x-request-id: another']));
      const ids = valuesOfField(await client.request(get()), 'x-request-id');
      assert.deepEqual(ids, [upstream.requests[0]?.header('x-request-id')]);
    });
  });

  describe('bodies of an answer (RFC 9112 §6.3)', () => {
    test('HEAD keeps the length and has no body', bounded, async (t) => {
      const { client } = await setUp(t, ({ line }) =>
        line.startsWith('HEAD') ? 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: "x"\r\n\r\n' : response('hello'),
      );
      const head = await client.request(get().replace('GET', 'HEAD'));
      assert.deepEqual(valuesOfField(head, 'content-length'), ['5']);
      assert.equal((await client.request(get())).body, 'hello');
      assert.ok(client.drained);
    });

    for (const [status, fields, expected] of [
      ['204 No Content', [], []],
      ['204 No Content', ['Content-Length: 0'], []],
      ['304 Not Modified', ['Content-Length: 5', 'ETag: "x"'], ['Content-Length: 5', 'ETag: "x"']],
      ['304 Not Modified', ['Trailer: X-Sum'], []],
      ['205 Reset Content', ['Content-Length: 0'], ['Content-Length: 0']],
    ] as const) {
      test(`${status} with ${fields.join(', ') || 'no field'} has no body`, bounded, async (t) => {
        const { client } = await setUp(t, `HTTP/1.1 ${[status, ...fields].join('\r\n')}\r\n\r\n`);
        const answer = await client.request(get());
        assert.equal(answer.status, Number(status.slice(0, 3)));
        assert.deepEqual(steadyFields(answer).slice(0, -2), expected);
        assert.equal((await client.request(get())).status, answer.status);
        assert.ok(client.drained);
      });
    }

    test('chunks stay chunks, trailers included', bounded, async (t) => {
      const { client } = await setUp(
        t,
        'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n' +
          '5;x=1\r\nhello\r\n0\r\nX-Sum: 1\r\nHost: evil.test\r\nSet-Cookie: a=1\r\n\r\n',
      );
      const answer = await client.request(get());
      assert.deepEqual(valuesOfField(answer, 'transfer-encoding'), ['chunked']);
      assert.deepEqual(valuesOfField(answer, 'trailer'), ['X-Sum']);
      assert.equal(answer.body, 'hello');
      // Those that would change how the message is read may not come last (RFC 9110 §6.5.1).
      assert.deepEqual(answer.trailers, ['X-Sum', '1']);
    });

    for (const [name, request] of Object.entries({
      'an answer of known length': get(),
      'an answer to HEAD': get().replace('GET', 'HEAD'),
      'an HTTP/1.0 client': get().replace('HTTP/1.1', 'HTTP/1.0'),
    })) {
      test(`Trailer on ${name} is dropped, where Node would throw`, bounded, async (t) => {
        const length = name === 'an HTTP/1.0 client' ? 'Connection: close' : 'Content-Length: 0';
        const { client } = await setUp(t, ({ connection }) => {
          connection.socket.end(`HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\n${length}\r\n\r\n`);
        });
        const answer = await client.request(request);
        assert.equal(answer.status, 200);
        assert.deepEqual(valuesOfField(answer, 'trailer'), []);
      });
    }

    test('a body that ends with the connection of the upstream is sent in chunks', bounded, async (t) => {
      const { client } = await setUp(t, ({ connection }) => {
        connection.socket.end('HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end');
      });
      const answer = await client.request(get());
      assert.deepEqual(valuesOfField(answer, 'transfer-encoding'), ['chunked']);
      assert.equal(answer.body, 'until the end');
      assert.equal((await client.request(get())).body, 'until the end');
    });

    test('an HTTP/1.0 client gets a body that ends with its connection', bounded, async (t) => {
      const { client } = await setUp(t, 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n');
      const answer = await client.request('GET / HTTP/1.0\r\nHost: app.test\r\nConnection: keep-alive\r\n\r\n');
      assert.deepEqual(steadyFields(answer), ['Connection: close']);
      assert.equal(answer.body, 'hello');
      assert.deepEqual(await client.closed, { error: null });
    });

    test('an HTTP/1.0 client that asks for it keeps its connection', bounded, async (t) => {
      const { client } = await setUp(t, response('hello'));
      const keep = 'GET / HTTP/1.0\r\nHost: app.test\r\nConnection: keep-alive\r\n\r\n';
      for (const _ of [1, 2]) {
        const answer = await client.request(keep);
        assert.deepEqual(valuesOfField(answer, 'connection'), ['keep-alive']);
        assert.equal(answer.body, 'hello');
      }
      await client.request('GET / HTTP/1.0\r\nHost: app.test\r\n\r\n');
      assert.deepEqual(await client.closed, { error: null });
    });

    test('a small one comes in one piece with its head', bounded, async (t) => {
      for (const answer of [
        response('ok'),
        'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
      ]) {
        const { client } = await setUp(t, answer);
        let pieces = 0;
        client.socket.on('data', () => {
          pieces += 1;
        });
        assert.equal((await client.request(get())).body, 'ok');
        assert.equal(pieces, 1);
      }
    });
  });

  describe('interim answers (RFC 9110 §15.2)', () => {
    const hints =
      'HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: X-A\r\nX-A: 1\r\nX-More: 1\r\n\r\n';

    test('are passed on before the answer, without what concerns the connection', bounded, async (t) => {
      const { client } = await setUp(t, (request) => {
        request.reply(`HTTP/1.1 102 Processing\r\n\r\n${hints}HTTP/1.1 199 Odd\r\nX-A: b\r\n\r\n`);
        return response('ok');
      });
      const { interim, status } = await client.request(get());
      assert.equal(status, 200);
      assert.deepEqual(
        interim.map(({ status, fields }) => [status, ...fields]),
        [[102], [103, 'Link', '</a.css>; rel=preload', 'X-More', '1'], [199, 'X-A', 'b']],
      );
    });

    test('arrive before the answer is there', bounded, async (t) => {
      const { client, upstream } = await setUp(t, () => hints);
      client.send(get());
      const request = await upstream.next();
      await client.until('103 Early Hints');
      request.reply(response('ok'));
      assert.equal((await client.response()).interim.length, 1);
    });

    test('are kept from HTTP/1.0 clients', bounded, async (t) => {
      const { client } = await setUp(t, () => hints + response('ok'));
      const { interim, body } = await client.request('GET / HTTP/1.0\r\nHost: app.test\r\n\r\n');
      assert.deepEqual([interim.length, body], [0, 'ok']);
    });
  });

  describe('Expect: 100-continue (RFC 9110 §10.1.1)', () => {
    const post = (fields = '') =>
      `POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 2\r\nExpect: 100-Continue\r\n${fields}\r\n`;

    test('the body is asked for when the upstream is there to take it', bounded, async (t) => {
      const { client, upstream } = await setUp(t, () => undefined);
      await client.send(post()).until('HTTP/1.1 100 Continue\r\n\r\n');
      client.send('ok');
      const request = await upstream.next();
      assert.equal(await request.body, 'ok');
      assert.equal(request.header('expect'), undefined);
      request.reply(response('done'));
      assert.deepEqual([(await client.response()).body, client.text.match(/100 Continue/g)?.length], ['done', 1]);
    });

    test('the body is not asked for when the upstream is down', bounded, async (t) => {
      const upstream = await startUpstream(t);
      const door = await start(t, { upstream: upstream.url });
      upstream.close();
      const client = await connectRaw(t, door);
      const { status, interim } = await client.request(post());
      assert.deepEqual([status, interim.length], [502, 0]);
    });

    test('a client that does not wait is served as well', bounded, async (t) => {
      const { client, upstream } = await setUp(t, response('done'));
      assert.equal((await client.request(`${post()}ok`)).body, 'done');
      assert.equal(await upstream.requests[0]?.body, 'ok');
    });

    test('without a body, and from HTTP/1.0, it is passed over', bounded, async (t) => {
      for (const request of [get('/', 'Expect: 100-continue\r\n'), `${post().replace('HTTP/1.1', 'HTTP/1.0')}ok`]) {
        const { client } = await setUp(t, response('done'));
        const { interim, body } = await client.request(request);
        assert.deepEqual([interim.length, body], [0, 'done']);
      }
    });
  });

  test('requests are counted by method and code, methods that nobody knows together', bounded, async (t) => {
    const { client, door } = await setUp(t, ({ path }) => response('x', [], `${path.slice(1)} X`));
    for (const [method, code] of [
      ['GET', 200],
      ['GET', 404],
      ['PROPFIND', 207],
      ['MKCOL', 599],
    ]) {
      await client.request(`${method} /${code} HTTP/1.1\r\nHost: app.test\r\n\r\n`);
    }
    assert.deepEqual(await valuesOf(door.metrics.requests), {
      'GET,200': 1,
      'GET,404': 1,
      'other,207': 1,
      'other,599': 1,
    });
  });
});
