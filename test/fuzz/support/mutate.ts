import type { Random } from './random.ts';

/** Octets that an input may have. */
export const longest = 1500;

const words = [
  ...[
    '\r\n',
    '\r\n\r\n',
    '\r',
    '\n',
    ' ',
    '\t',
    ':',
    ': ',
    ',',
    ';',
    '=',
    '"',
    '\\',
    '\0',
    '\x7f',
    '\x80',
    '\xff',
    '#',
    '/',
  ],
  ...[
    'GET /',
    'POST /a',
    'HEAD /',
    ' HTTP/1.1\r\n',
    ' HTTP/1.0\r\n',
    'HTTP/1.1 200 OK\r\n',
    'HTTP/1.1 ',
    '204',
    '304',
    '103',
  ],
  ...[
    'Host: a\r\n',
    'Content-Length: ',
    'Content-Length: 5\r\n',
    'Transfer-Encoding: chunked\r\n',
    'Connection: close\r\n',
  ],
  ...[
    'Connection: ',
    'keep-alive',
    'Keep-Alive: timeout=5\r\n',
    'Upgrade: x\r\n',
    'Expect: 100-continue\r\n',
    'X: y\r\n',
  ],
  ...[
    'Proxy-Connection: close\r\n',
    'HTTP2-Settings: a\r\n',
    'chunked',
    'close',
    'hello',
    '5\r\nhello\r\n',
    '0\r\n\r\n',
    '0\r\n',
  ],
  ...[
    '5;a=b\r\n',
    ';a="\\""',
    '0',
    '1',
    'f',
    'F',
    '0x',
    '+',
    '-',
    '9007199254740991',
    'ffffffffffffffff',
    '000000000000000',
  ],
].map((word) => Buffer.from(word, 'latin1'));

/**
 * Changes an input in a few places.
 * @param others from which parts are taken
 */
export function mutate(input: Buffer, others: readonly Buffer[], random: Random): Buffer {
  let bytes = input;
  for (let times = 1 + random.below(4); times > 0; times -= 1) bytes = change(bytes, others, random);
  return bytes.subarray(0, longest);
}

function change(bytes: Buffer, others: readonly Buffer[], random: Random): Buffer {
  const at = random.below(bytes.length + 1);
  const head = bytes.subarray(0, at);
  const tail = bytes.subarray(at);
  const length = 1 + random.below(random.below(4) === 0 ? 40 : 4);
  switch (random.below(8)) {
    case 0:
      return Buffer.concat([head, tail.subarray(length)]);
    case 1:
      return Buffer.concat([head, random.pick(words), tail]);
    case 2:
      return Buffer.concat([head, random.pick(words), tail.subarray(length)]);
    case 3:
      return Buffer.concat([head, Buffer.from([random.below(256)]), tail.subarray(1)]);
    case 4:
      return Buffer.concat([head, tail.subarray(0, length), tail]);
    case 5: {
      const other = random.pick(others);
      return Buffer.concat([head, other.subarray(random.below(other.length + 1))]);
    }
    case 6: {
      const octet = tail[0] ?? 0x61;
      return Buffer.concat([head, Buffer.alloc(random.pick([2, 20, 200, 900]), octet), tail]);
    }
    default: {
      const copy = Buffer.from(bytes);
      if (copy.length > 0) copy[at % copy.length] = (copy[at % copy.length] as number) ^ (1 << random.below(8));
      return copy;
    }
  }
}
