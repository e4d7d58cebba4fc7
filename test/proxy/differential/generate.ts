import fc from 'fast-check';

const pick = (...values: string[]) => fc.constantFrom(...values);

const method = fc.oneof(
  { weight: 6, arbitrary: pick('GET', 'POST', 'PUT', 'DELETE', 'HEAD', 'OPTIONS', 'PATCH') },
  pick('CONNECT', 'TRACE', 'get', 'PROPFIND', 'X', ''),
);
const target = fc.oneof(
  { weight: 6, arbitrary: pick('/', '/a', '/a?b=c', '/chunked', '/until-close', '//', '/%00') },
  pick('*', 'http://app.test/', 'http://evil.test/', '/a b', '/\xe9', '/#', 'a', ''),
);
const version = fc.oneof(
  { weight: 8, arbitrary: pick('HTTP/1.1') },
  pick('HTTP/1.0', 'HTTP/1.2', 'http/1.1', 'HTTP/2.0'),
);
const end = fc.oneof({ weight: 30, arbitrary: pick('\r\n') }, pick('\n', '\r', '\r\r\n', '\n\r', ''));
const name = pick(
  ...['Host', 'Content-Length', 'Transfer-Encoding', 'Connection', 'Expect', 'Upgrade', 'TE', 'Trailer', 'Cookie'],
  ...[
    'X-A',
    'X_A',
    'X-Forwarded-For',
    'X-Request-Id',
    'Proxy-Connection',
    'Keep-Alive',
    'content-length',
    'X A',
    'X\0',
  ],
);
const value = pick(
  ...[
    'app.test',
    'evil.test',
    '0',
    '5',
    '05',
    '+5',
    '5, 5',
    'chunked',
    'Chunked',
    'xchunked',
    'gzip, chunked',
    'close',
  ],
  ...[
    'keep-alive',
    'upgrade',
    'Host',
    'Content-Length',
    '100-continue',
    'websocket',
    'h2c',
    'trailers',
    'a',
    '',
    '\xff',
  ],
  ...['a\0b', 'a\rb', 'a\x7fb'],
);
const colon = fc.oneof({ weight: 12, arbitrary: pick(': ', ':', ':\t') }, pick(' : ', ':\r\n ', ''));
const field = fc.tuple(name, colon, value, end).map((parts) => parts.join(''));
const plainField = pick(
  'X-A: b\r\n',
  'Content-Length: 5\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Connection: close\r\n',
);
const body = fc.oneof(
  { weight: 3, arbitrary: pick('', 'hello', '5\r\nhello\r\n0\r\n\r\n', '0\r\n\r\n') },
  fc
    .array(pick('5', '0', 'a', 'F', ';', ';a=b', '"', '\r\n', '\r\n', '\r\n', '\n', '\r', ' ', 'hello', 'X-A: b'), {
      maxLength: 12,
    })
    .map((parts) => parts.join('')),
);
const request = fc
  .tuple(
    method,
    target,
    version,
    end,
    fc.array(fc.oneof({ weight: 2, arbitrary: plainField }, field), { maxLength: 4 }),
    end,
    body,
  )
  .map(([m, t, v, e, fields, blank, text]) => `${m} ${t} ${v}${e}Host: app.test\r\n${fields.join('')}${blank}${text}`);

const octet = fc.oneof(
  pick('\r', '\n', '\r\n', ' ', '\t', ':', ';', ',', '\0', '\x7f', '\x80', '\xff', '0', '5', '+', '"', '\r\n\r\n'),
  fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)),
);
const change = fc.tuple(fc.double({ noNaN: true, min: 0, max: 0.999 }), fc.nat({ max: 3 }), octet);

/** Takes octets out, puts others in, or doubles them, at some places. */
function mutate(text: string, changes: readonly [number, number, string][]): string {
  return changes.reduce((before, [part, kind, octets]) => {
    const at = Math.floor(part * before.length);
    const [head, tail] = [before.slice(0, at), before.slice(at)];
    if (kind === 0) return head + tail.slice(1);
    if (kind === 1) return head + octets + tail;
    if (kind === 2) return head + octets + tail.slice(1);
    return head + tail.slice(0, 12) + tail;
  }, text);
}

/**
 * Requests, and what looks like them: made up, or known ones that were changed in a few places; one or two of them, cut into pieces.
 * @param known texts, each character one octet
 */
export function requestBytes(known: readonly string[]): fc.Arbitrary<string[]> {
  // An answer that does not wait for the body is a race with what is wrong in it.
  const short = known.filter((text) => text.length < 600 && !text.includes('/early'));
  const mutated = fc
    .tuple(fc.constantFrom(...short), fc.array(change, { minLength: 1, maxLength: 3 }))
    .map(([text, changes]) => mutate(text, changes));
  const one = fc.oneof(request, mutated);
  const text = fc.oneof(
    { weight: 3, arbitrary: one },
    fc.tuple(one, one).map((two) => two.join('')),
  );
  const cuts = fc.array(fc.double({ noNaN: true, min: 0, max: 0.999 }), { maxLength: 2 });
  return fc.tuple(text, cuts).map(([whole, at]) => {
    const places = [...new Set([0, ...at.map((part) => Math.floor(part * whole.length)), whole.length])];
    places.sort((a, b) => a - b);
    return places.slice(1).map((place, i) => whole.slice(places[i], place));
  });
}
