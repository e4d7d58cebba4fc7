import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { ChunkDecoder, chunkHead, chunkTail, lastChunk, readTrailer } from '../../src/http1/index.ts';

interface Decoded {
  readonly body: string;
  readonly done: boolean;
  readonly trailer: string;
  readonly fault: string | null;
  /** Octets that belonged to the body. */
  readonly used: number;
}

/** Decodes pieces one after another, until the body ends or is given up. */
function decode(pieces: readonly string[]): Decoded {
  const decoder = new ChunkDecoder();
  let body = '';
  const sink = {
    onChunk: (part: Buffer) => {
      body += part.toString('latin1');
    },
  };
  let used = 0;
  for (const piece of pieces) {
    if (decoder.done) break;
    const end = decoder.decode(Buffer.from(piece, 'latin1'), 0, sink);
    if (end < 0) break;
    used += end;
  }
  return { body, done: decoder.done, trailer: decoder.trailer, fault: decoder.fault, used };
}

const inOctets = (text: string) => [...text];

/** Cuts a text at places given as numbers. */
function cut(text: string, places: readonly number[]): string[] {
  const sorted = [0, ...places.map((place) => place % (text.length + 1)), text.length].sort((a, b) => a - b);
  return sorted.slice(1).map((end, i) => text.slice(sorted[i], end));
}

describe('a chunked body', () => {
  const octets = fc.string({
    unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)),
    maxLength: 40,
  });
  const token = fc.stringMatching(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,8}$/);
  const quoted = fc.stringMatching(/^[\t !#-[\]-~]{0,8}$/).map((text) => `"${text}\\""`);
  const extension = fc
    .tuple(token, fc.option(fc.oneof(token, quoted)))
    .map(([name, value]) => `;${name}${value === null ? '' : `=${value}`}`);
  const chunk = fc.record({
    data: octets,
    zeros: fc.nat(3),
    upper: fc.boolean(),
    extensions: fc.array(extension, { maxLength: 2 }),
  });
  const trailers = fc.array(fc.tuple(token, fc.stringMatching(/^([!-~]([\t -~]{0,6}[!-~])?)?$/)), { maxLength: 3 });

  test('is the same however it is written and cut, and ends where it ends', () => {
    fc.assert(
      fc.property(
        fc.array(chunk),
        fc.nat(3),
        trailers,
        fc.array(fc.nat()),
        octets,
        (chunks, zeros, fields, places, rest) => {
          const written = chunks
            .filter(({ data }) => data.length > 0)
            .map(({ data, zeros, upper, extensions }) => {
              const digits = data.length.toString(16);
              return `${'0'.repeat(zeros)}${upper ? digits.toUpperCase() : digits}${extensions.join('')}\r\n${data}\r\n`;
            });
          const section = fields.map(([name, value]) => `${name}: ${value}\r\n`).join('');
          const text = `${written.join('')}0${'0'.repeat(zeros)}\r\n${section}\r\n`;
          const expected = { body: chunks.map(({ data }) => data).join(''), done: true, trailer: section, fault: null };
          for (const pieces of [[text + rest], cut(text + rest, places), inOctets(text + rest)]) {
            assert.deepEqual(decode(pieces), { ...expected, used: text.length });
          }
          assert.deepEqual(readTrailer(section), fields.flat());
        },
      ),
      { numRuns: 300 },
    );
  });

  test('is not done at any octet before its end', () => {
    const text = '5;a="b"\r\nhello\r\n0\r\nX: y\r\n\r\n';
    for (let end = 0; end < text.length; end += 1) {
      const { done, fault } = decode([text.slice(0, end)]);
      assert.deepEqual([done, fault], [false, null], text.slice(0, end));
    }
  });

  test('is what the writing side writes', () => {
    const text = `${chunkHead(5)}hello${chunkTail}${chunkHead(26)}${'x'.repeat(26)}${chunkTail}`;
    assert.deepEqual(decode([text + lastChunk()]).body, `hello${'x'.repeat(26)}`);
    assert.deepEqual(readTrailer(decode([lastChunk(['X-Sum', '1', 'Y', ''])]).trailer), ['X-Sum', '1', 'Y', '']);
  });
});

describe('a body that is given up', () => {
  for (const [name, text] of Object.entries({
    'no size': '\r\nhello\r\n',
    'a size that is no number': 'g\r\n',
    'a signed size': '+5\r\nhello\r\n',
    'a size with a prefix': '0x5\r\nhello\r\n',
    'a blank before a size': ' 5\r\nhello\r\n',
    'a blank behind a size': '5 \r\nhello\r\n',
    'a size with an underscore': '1_0\r\n',
    'a size beyond what can be counted': '20000000000000\r\n',
    'a size that overflows to one that can be': '10000000000000005\r\nhello\r\n',
    'a size of many digits': `${'0'.repeat(40)}5\r\nhello\r\n`,
    'a line end without a carriage return': '5\nhello\r\n',
    'a carriage return without a line feed': '5\rhello\r\n',
    'an extension with a line feed': '5;a\nhello\r\n',
    'an extension with a carriage return': '5;a\rb\r\nhello\r\n',
    'an extension with a NUL': '5;a\0\r\nhello\r\n',
    'data that is longer than its size': '5\r\nhello!\r\n',
    'data that ends without a carriage return': '5\r\nhello\n0\r\n\r\n',
    'data that ends without a line feed': '5\r\nhello\r0\r\n\r\n',
    'a last line without a carriage return': '0\r\n\n',
    'a last line without a line feed': '0\r\n\rX',
    'a trailer without a carriage return': '0\r\nX: y\n\r\n',
    'a trailer with a NUL': '0\r\nX: \0\r\n\r\n',
  })) {
    test(`for ${name}, however it is cut`, () => {
      for (const pieces of [[text], inOctets(text)]) {
        const { fault, done } = decode(pieces);
        assert.deepEqual([fault, done], ['malformed', false]);
      }
    });
  }

  test('for extensions, or trailers, beyond all bounds', () => {
    assert.equal(decode([`5;${'a'.repeat(20_000)}`]).fault, 'extensions');
    assert.equal(decode([`0\r\n${`X: ${'a'.repeat(1000)}\r\n`.repeat(20)}`]).fault, 'trailers');
    assert.equal(decode([`0\r\nX: ${'a'.repeat(20_000)}`]).fault, 'trailers');
  });
});

describe('a trailer section', () => {
  for (const section of ['X\r\n', ': a\r\n', 'X : a\r\n', ' X: a\r\n', 'X: a\r\n b\r\n', '\xe9: a\r\n']) {
    test(`that is malformed is refused: ${JSON.stringify(section)}`, () => assert.equal(readTrailer(section), null));
  }
});
