import { marks, notPlain, partial, scanFields, scanned } from './fields.ts';
import { slash, space, targetContent } from './octets.ts';

/** The fields of a request that is plainly well-formed. */
export interface PlainFields {
  /** Names and values in turn, as received; each character is one octet. */
  readonly headers: readonly string[];
  /** Octets of the body; -1 when it comes in chunks. */
  readonly length: number;
  /** The client wants no other request on this connection (RFC 9112 §9.6). */
  readonly close: boolean;
  /** The lines themselves, with the empty one behind them. */
  readonly octets: Buffer;
}

/** The head of a request that is plainly well-formed. */
export interface PlainRequest {
  readonly method: string;
  /** In origin-form. */
  readonly target: string;
  readonly fields: PlainFields;
  /** Where the head ends. */
  readonly end: number;
}

const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];
const version = Buffer.from(' HTTP/1.1\r\n');

/**
 * Reads the head of a request, in one pass, if it is plain: a common method, a target in origin-form, HTTP/1.1, one Host, a body whose length is
 * told once, by a decimal number or as exactly `chunked`, nothing that asks for more than an answer (Upgrade, Expect), and no octet that
 * RFC 9112 does not have there. What is plain here is well-formed for every other parser too, and has one meaning.
 * @param before the fields of another request: where they are the same to the octet, as they often are on one connection, they are not read again, and the
 * very same object is returned
 * @returns `partial` when it may become plain, `notPlain` when it is for a parser that knows hard cases
 */
export function readRequest(
  bytes: Buffer,
  before: PlainFields | null = null,
): PlainRequest | typeof partial | typeof notPlain {
  const method = readMethod(bytes);
  if (typeof method === 'number') return method;
  const from = method.length + 1;
  const { length } = bytes;
  let i = from;
  if (i >= length) return partial;
  if (bytes[i] !== slash) return notPlain;
  while (i < length && targetContent[bytes[i] as number] === 1) i += 1;
  const targetEnd = i;
  for (const octet of version) {
    if (i >= length) return partial;
    if (bytes[i] !== octet) return notPlain;
    i += 1;
  }
  const target = bytes.toString('latin1', from, targetEnd);
  if (before && startsWith(bytes, i, before.octets)) {
    return { method, target, fields: before, end: i + before.octets.length };
  }
  const end = scanFields(bytes, i);
  if (end < 0) return end as typeof partial | typeof notPlain;
  const fields = readFields(bytes, i, end);
  return fields === notPlain ? notPlain : { method, target, fields, end };
}

/** The empty line at the end of `octets` makes sure that nothing follows which belongs to them. */
function startsWith(bytes: Buffer, from: number, octets: Buffer): boolean {
  const to = from + octets.length;
  return to <= bytes.length && bytes.compare(octets, 0, octets.length, from, to) === 0;
}

function readMethod(bytes: Buffer): string | typeof partial | typeof notPlain {
  for (const method of methods) {
    if (bytes[0] !== method.charCodeAt(0)) continue;
    let i = 1;
    while (i < method.length && bytes[i] === method.charCodeAt(i)) i += 1;
    if (i === method.length && bytes[i] === space) return method;
    if (i === bytes.length) return partial;
  }
  return bytes.length === 0 ? partial : notPlain;
}

/** @param from where the fields begin, which were scanned @param end where the empty line behind them ends */
function readFields(bytes: Buffer, from: number, end: number): PlainFields | typeof notPlain {
  const octets = Buffer.from(bytes.subarray(from, end));
  const text = octets.toString('latin1');
  const headers: string[] = [];
  let hosts = 0;
  let length = 0;
  let framed = false;
  let close = false;
  let connections = 0;
  for (let field = 0, mark = 0; field < scanned.fields; field += 1, mark += 4) {
    const name = text.slice((marks[mark] as number) - from, (marks[mark + 1] as number) - from);
    const value = text.slice((marks[mark + 2] as number) - from, (marks[mark + 3] as number) - from);
    headers.push(name, value);
    switch (notableOf(name)) {
      case '':
        break;
      case 'host':
        hosts += 1;
        break;
      case 'content-length':
        if (framed || !/^[0-9]{1,15}$/.test(value)) return notPlain;
        framed = true;
        length = Number(value);
        break;
      case 'transfer-encoding':
        if (framed || value.toLowerCase() !== 'chunked') return notPlain;
        framed = true;
        length = -1;
        break;
      case 'connection': {
        const option = value.toLowerCase();
        connections += 1;
        if (connections > 1 || (option !== 'close' && option !== 'keep-alive')) return notPlain;
        close = option === 'close';
        break;
      }
      default:
        return notPlain;
    }
  }
  if (hosts !== 1) return notPlain;
  return { headers, length, close, octets };
}

/** The lower-case name of a field that bears on framing or on the connection; empty for any other. */
function notableOf(name: string): string {
  switch (name.length) {
    case 4:
    case 6:
    case 7:
    case 10:
    case 14:
    case 16:
    case 17: {
      const lower = name.toLowerCase();
      return notable.has(lower) ? lower : '';
    }
    default:
      return '';
  }
}

const notable = new Set([
  'host',
  'expect',
  'upgrade',
  'connection',
  'content-length',
  'http2-settings',
  // Node's parser takes it for Connection.
  'proxy-connection',
  'transfer-encoding',
]);
