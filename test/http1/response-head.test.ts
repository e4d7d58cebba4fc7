import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { inChunks, notPlain, partial, readResponse, untilClose } from '../../src/http1/index.ts';

const read = (text: string) => readResponse(Buffer.from(text, 'latin1'));
const head = (fields = '', line = 'HTTP/1.1 200 OK') => `${line}\r\n${fields}\r\n`;

const plain: Record<string, [text: string, expected: object]> = {
  'no field': [head(), { status: 200, headers: [], length: untilClose, keepsAlive: true, idleHint: 0 }],
  'a reason of several words, beyond ASCII': [head('', 'HTTP/1.1 404 Not F\xf6und'), { status: 404 }],
  'an empty reason': [head('', 'HTTP/1.1 200 '), { status: 200 }],
  'no reason': [head('', 'HTTP/1.1 200'), { status: 200 }],
  'HTTP/1.0': [head('Content-Length: 1\r\n', 'HTTP/1.0 200 OK'), { length: 1, keepsAlive: false }],
  'HTTP/1.0 that goes on': [head('Connection: x, Keep-Alive\r\n', 'HTTP/1.0 200 OK'), { keepsAlive: true }],
  'a length': [head('cONTENT-lENGTH: \t12 \r\n'), { length: 12, headers: ['cONTENT-lENGTH', '12'] }],
  chunks: [head('Transfer-Encoding: CHUNKED\r\n'), { length: inChunks }],
  'a goodbye': [head('Connection: Close\r\n'), { keepsAlive: false }],
  'a goodbye among others': [head('Connection: keep-alive, close ,x\r\n'), { keepsAlive: false }],
  'a goodbye in a field of its own': [head('Connection: close\r\nConnection: keep-alive\r\n'), { keepsAlive: false }],
  'what only looks like a goodbye': [head('Connection: closed\r\n'), { keepsAlive: true }],
  'a hint': [head('Keep-Alive: timeout=5, max=9\r\n'), { idleHint: 5000, keepsAlive: true }],
  'a hint behind another': [head('Keep-Alive: max=9; Timeout=7\r\n'), { idleHint: 7000 }],
  'a hint about something else': [head('Keep-Alive: xtimeout=7\r\n'), { idleHint: 0, keepsAlive: true }],
  'a hint that it is closed at once': [head('Keep-Alive: timeout=0\r\n'), { keepsAlive: false }],
  'an interim answer': [head('Link: </a>\r\n', 'HTTP/1.1 103 Early Hints'), { status: 103, headers: ['Link', '</a>'] }],
};

const hard: Record<string, string> = {
  'another version': head('', 'HTTP/2.0 200 OK'),
  'HTTP/1.2': head('', 'HTTP/1.2 200 OK'),
  'a protocol in lower case': head('', 'http/1.1 200 OK'),
  'two blanks': head('', 'HTTP/1.1  200 OK'),
  'a status of two digits': head('', 'HTTP/1.1 20 OK'),
  'a status of four digits': head('', 'HTTP/1.1 2000 OK'),
  'a status below 100': head('', 'HTTP/1.1 099 OK'),
  'a reason without a blank': head('', 'HTTP/1.1 200OK'),
  'a NUL in the reason': head('', 'HTTP/1.1 200 O\0K'),
  'a line end without a carriage return': 'HTTP/1.1 200 OK\n\r\n',
  'a fold': head('X: a\r\n b\r\n'),
  'a blank before a colon': head('X : a\r\n'),
  'two lengths': head('Content-Length: 1\r\nContent-Length: 1\r\n'),
  'a length and chunks': head('Content-Length: 1\r\nTransfer-Encoding: chunked\r\n'),
  'chunks and a length': head('Transfer-Encoding: chunked\r\nContent-Length: 1\r\n'),
  'a length that is none': head('Content-Length: 1a\r\n'),
  'a length beyond all bounds': head(`Content-Length: ${'9'.repeat(16)}\r\n`),
  'another encoding': head('Transfer-Encoding: gzip, chunked\r\n'),
  'chunks in HTTP/1.0': head('Transfer-Encoding: chunked\r\n', 'HTTP/1.0 200 OK'),
  'no HTTP': 'SSH-2.0-OpenSSH_9.6\r\n',
};

describe('a plain head', () => {
  for (const [name, [text, expected]] of Object.entries(plain)) {
    test(`${name}: is read, wherever it is cut and whatever follows`, () => {
      const response = read(text);
      assert.ok(typeof response === 'object', String(response));
      for (const [key, value] of Object.entries(expected)) {
        assert.deepEqual((response as unknown as Record<string, unknown>)[key], value, key);
      }
      assert.equal(response.end, text.length);
      for (let end = 0; end < text.length; end += 1)
        assert.equal(read(text.slice(0, end)), partial, text.slice(0, end));
      for (const rest of ['H', '\r\n', '\0', text]) assert.deepEqual(read(text + rest), response);
    });
  }
});

describe('a head that is not plain', () => {
  for (const [name, text] of Object.entries(hard)) {
    test(`${name}: is never read, and not plain from some octet on`, () => {
      let known = false;
      for (let end = 0; end <= text.length; end += 1) {
        const result = read(text.slice(0, end));
        assert.ok(result === notPlain || (result === partial && !known), `${end}`);
        known = result === notPlain;
      }
      assert.ok(known);
    });
  }
});
