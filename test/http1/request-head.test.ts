import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { notPlain, partial, readRequest } from '../../src/http1/index.ts';

const read = (text: string) => readRequest(Buffer.from(text, 'latin1'));
const host = 'Host: a\r\n';
const head = (fields: string, line = 'GET / HTTP/1.1') => `${line}\r\n${host}${fields}\r\n`;

const plain: Record<string, [text: string, expected: object]> = {
  'nothing but Host': [head(''), { method: 'GET', target: '/', headers: ['Host', 'a'], length: 0, close: false }],
  'a target with all that it may hold': [
    head('', 'OPTIONS /%2e/..//;a=b?c=<"|\\>&{}^`[]? HTTP/1.1'),
    { method: 'OPTIONS', target: '/%2e/..//;a=b?c=<"|\\>&{}^`[]?' },
  ],
  'fields in their order and case, blanks around values, repeated': [
    'GET / HTTP/1.1\r\nX-b: 1\r\nhOST:\t a \t\r\nx-B:2\r\nX-Empty:\r\nX-Blank: \t\r\nX: a b\tc\xe9\r\n\r\n',
    { headers: ['X-b', '1', 'hOST', 'a', 'x-B', '2', 'X-Empty', '', 'X-Blank', '', 'X', 'a b\tc\xe9'] },
  ],
  'names of all that a token may hold': [head("!#$%&'*+-.^_`|~09azAZ: x\r\n"), { length: 0 }],
  'a length': [head('content-LENGTH: 012\r\n', 'POST / HTTP/1.1'), { method: 'POST', length: 12 }],
  'a length of nothing': [head('Content-Length: 0\r\n'), { length: 0 }],
  chunks: [head('Transfer-Encoding: Chunked\r\n'), { length: -1 }],
  'a wish to close': [head('Connection: Close\r\n'), { close: true }],
  'a wish to go on': [head('connection: keep-alive\r\n'), { close: false }],
  ...Object.fromEntries(
    ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'].map((method) => [
      method,
      [head('', `${method} /a HTTP/1.1`), { method, target: '/a' }],
    ]),
  ),
};

const hard: Record<string, string> = {
  'another method': head('', 'PROPFIND / HTTP/1.1'),
  'a method in lower case': head('', 'get / HTTP/1.1'),
  'a method that begins like another': head('', 'GETS / HTTP/1.1'),
  'an empty line before it': `\r\n${head('')}`,
  'two blanks': head('', 'GET  / HTTP/1.1'),
  'a tab': head('', 'GET\t/ HTTP/1.1'),
  'a blank at the end of the line': head('', 'GET / HTTP/1.1 '),
  'no version': head('', 'GET /'),
  'HTTP/1.0': head('', 'GET / HTTP/1.0'),
  'HTTP/1.10': head('', 'GET / HTTP/1.10'),
  'a version in lower case': head('', 'GET / http/1.1'),
  'absolute-form': head('', 'GET http://a/ HTTP/1.1'),
  'asterisk-form': head('', 'OPTIONS * HTTP/1.1'),
  'a fragment': head('', 'GET /a#b HTTP/1.1'),
  'a target beyond ASCII': head('', 'GET /\xe9 HTTP/1.1'),
  'a control in the target': head('', 'GET /\x7f HTTP/1.1'),
  'a line end without a carriage return': 'GET / HTTP/1.1\nHost: a\r\n\r\n',
  'a field without a carriage return': 'GET / HTTP/1.1\r\nHost: a\n\r\n',
  'an end without a carriage return': 'GET / HTTP/1.1\r\nHost: a\r\n\n',
  'an end without a line feed': 'GET / HTTP/1.1\r\nHost: a\r\n\rX',
  'a carriage return alone': head('X: a\rb\r\n'),
  'a fold': head('X: a\r\n b\r\n'),
  'a blank before a field': head(' X: a\r\n'),
  'a blank before a colon': head('X : a\r\n'),
  'a name without a colon': head('X\r\n'),
  'an empty name': head(': a\r\n'),
  'a name beyond ASCII': head('\xe9: a\r\n'),
  'a NUL in a value': head('X: a\0\r\n'),
  'DEL in a value': head('X: a\x7f\r\n'),
  'no Host': 'GET / HTTP/1.1\r\nX: a\r\n\r\n',
  'two Hosts': head('hosT: a\r\n'),
  'two lengths': head('Content-Length: 1\r\nContent-Length: 1\r\n'),
  'a length and chunks': head('Content-Length: 1\r\nTransfer-Encoding: chunked\r\n'),
  'chunks and a length': head('Transfer-Encoding: chunked\r\nContent-Length: 1\r\n'),
  'chunks twice': head('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n'),
  ...Object.fromEntries(
    ['', '-1', '+1', '0x1', '1,1', '1 1', '1e1', '1.0', '\xb2', '9'.repeat(16)].map((length) => [
      `a length of "${length}"`,
      head(`Content-Length: ${length}\r\n`),
    ]),
  ),
  ...Object.fromEntries(
    ['', 'identity', 'gzip, chunked', 'chunked, gzip', 'chunked;', '"chunked"', 'xchunked', '\x0bchunked'].map(
      (name) => [`the encoding "${name}"`, head(`Transfer-Encoding: ${name}\r\n`)],
    ),
  ),
  'an expectation': head('Expect: 100-continue\r\n'),
  'a wish for another protocol': head('Upgrade: websocket\r\n'),
  'settings of HTTP/2': head('HTTP2-Settings: x\r\n'),
  'other connection options': head('Connection: close, x\r\n'),
  'an empty connection option': head('Connection:\r\n'),
  'Connection twice': head('Connection: close\r\nConnection: close\r\n'),
  'more fields than anybody sends': head('X: a\r\n'.repeat(200)),
  'HTTP/2': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  TLS: '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
};

describe('a plain head', () => {
  for (const [name, [text, expected]] of Object.entries(plain)) {
    test(`${name}: is read, wherever it is cut and whatever follows`, () => {
      const request = read(text);
      assert.ok(typeof request === 'object', String(request));
      const { fields, ...line } = request;
      const all: Record<string, unknown> = { ...line, ...fields };
      for (const [key, value] of Object.entries(expected)) assert.deepEqual(all[key], value, key);
      assert.equal(request.end, text.length);
      for (let end = 0; end < text.length; end += 1)
        assert.equal(read(text.slice(0, end)), partial, text.slice(0, end));
      for (const rest of ['G', '\r\n', '\0', text, 'x'.repeat(1000)]) assert.deepEqual(read(text + rest), request);
    });
  }
});

describe('a head that is not plain', () => {
  for (const [name, text] of Object.entries(hard)) {
    test(`${name}: is never read, and not plain from some octet on`, () => {
      let known = false;
      for (let end = 0; end <= text.length; end += 1) {
        const result = read(text.slice(0, end));
        assert.ok(result === (known ? notPlain : partial) || result === notPlain, `${end}`);
        known = result === notPlain;
      }
      assert.ok(known);
    });
  }
});

test('whatever is received, what is read says no more than what was there', () => {
  const pieces = fc.constantFrom(
    ...['GET', ' ', '/', 'HTTP/1.1', '\r', '\n', '\r\n', host, ':', 'X', 'a', '\t', '\0', '\xe9'],
  );
  const garbage = fc.array(pieces, { maxLength: 30 }).map((list) => list.join(''));
  const fields = fc.array(
    fc.constantFrom('X: a\r\n', 'X:\r\n', 'Content-Length: 5\r\n', 'Connection: close\r\n', ' b\r\n', 'Y'),
  );
  const likely = fields.map((lines) => head(lines.join('')));
  fc.assert(
    fc.property(fc.oneof(garbage, likely), (text) => {
      const request = read(text);
      if (typeof request === 'number') return;
      const lines = request.fields.headers.flatMap((name, i) =>
        i % 2 === 0 ? [`${name}:${request.fields.headers[i + 1]}`] : [],
      );
      const squeezed = text.slice(0, request.end).replace(/:[ \t]*(.*?)[ \t]*\r\n/g, ':$1\r\n');
      assert.equal(squeezed, `${request.method} ${request.target} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`);
    }),
    { numRuns: 2000 },
  );
});

test('fields that are the same to the octet are not read again; others are', () => {
  const first = read(head('X: a\r\n'));
  assert.ok(typeof first === 'object');
  const again = readRequest(Buffer.from(`${head('X: a\r\n', 'POST /b HTTP/1.1')}rest`, 'latin1'), first.fields);
  assert.ok(typeof again === 'object');
  assert.equal(again.fields, first.fields);
  assert.deepEqual([again.method, again.target], ['POST', '/b']);
  assert.equal(again.end, head('X: a\r\n', 'POST /b HTTP/1.1').length);
  for (const text of [head('X: b\r\n'), head('X: a\r\nY: a\r\n'), head(''), head('X: a\r\n').replace('Host', 'host')]) {
    const other = readRequest(Buffer.from(text, 'latin1'), first.fields);
    assert.deepEqual(other, read(text));
  }
  // One that does not end where the known one ends.
  assert.equal(readRequest(Buffer.from(head('X: a\r\n').slice(0, -1), 'latin1'), first.fields), partial);
});
