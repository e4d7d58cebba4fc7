import { marks, notPlain, partial, scanFields, scanned } from './fields.ts';
import { cr, fieldContent, space } from './octets.ts';

/** The head of a response that is plainly well-formed. */
export interface PlainResponse {
  readonly status: number;
  /** Names and values in turn, as received; each character is one octet. */
  readonly headers: string[];
  /** Octets of the body as its length is told; `inChunks`, or `untilClose` when nothing tells it (RFC 9112 §6.3). */
  readonly length: number;
  /** The connection can carry another request afterwards (RFC 9112 §9.3). */
  readonly keepsAlive: boolean;
  /** Milliseconds for which the upstream says that it keeps an idle connection (`Keep-Alive: timeout=`); 0 when it does not say. */
  readonly idleHint: number;
  /** Where the head ends. */
  readonly end: number;
}

export const inChunks = -1;
export const untilClose = -2;

const protocol = Buffer.from('HTTP/1.');

/**
 * Reads the head of a response, in one pass, if it is plain: HTTP/1.1 or 1.0, a status of three digits, one way at most to tell the length
 * of the body, and no octet that RFC 9112 does not have there.
 * @returns `partial` when it may become plain, `notPlain` when it is for a parser that knows hard cases
 */
export function readResponse(bytes: Buffer): PlainResponse | typeof partial | typeof notPlain {
  const { length } = bytes;
  for (let i = 0; i < protocol.length; i += 1) {
    if (i >= length) return partial;
    if (bytes[i] !== protocol[i]) return notPlain;
  }
  if (length < 13) return partial;
  const minor = (bytes[7] as number) - 0x30;
  const status = digit(bytes, 9) * 100 + digit(bytes, 10) * 10 + digit(bytes, 11);
  if ((minor !== 0 && minor !== 1) || bytes[8] !== space || !(status >= 100 && status <= 999)) return notPlain;
  let i = 12;
  if (bytes[i] !== space && bytes[i] !== cr) return notPlain;
  while (i < length && fieldContent[bytes[i] as number] === 1) i += 1;
  if (i + 1 >= length) return partial;
  if (bytes[i] !== cr || bytes[i + 1] !== 0x0a) return notPlain;
  const end = scanFields(bytes, i + 2);
  if (end < 0) return end as typeof partial | typeof notPlain;
  return assemble(bytes.toString('latin1', 0, end), status, minor, end);
}

function digit(bytes: Buffer, at: number): number {
  const value = (bytes[at] as number) - 0x30;
  return value >= 0 && value <= 9 ? value : Number.NaN;
}

/** Whether it is a decimal number that is exact. */
function isNumber(text: string): boolean {
  if (text.length === 0 || text.length > 15) return false;
  for (let i = 0; i < text.length; i += 1) {
    const octet = text.charCodeAt(i);
    if (octet < 0x30 || octet > 0x39) return false;
  }
  return true;
}

function assemble(text: string, status: number, minor: number, end: number): PlainResponse | typeof notPlain {
  const headers: string[] = [];
  let length = untilClose;
  let keepsAlive = minor === 1;
  let closes = false;
  let idleHint = 0;
  for (let field = 0, mark = 0; field < scanned.fields; field += 1, mark += 4) {
    const name = text.slice(marks[mark], marks[mark + 1]);
    const value = text.slice(marks[mark + 2], marks[mark + 3]);
    headers.push(name, value);
    switch (name.length === 10 || name.length === 14 || name.length === 17 ? name.toLowerCase() : '') {
      case 'content-length':
        if (length !== untilClose || !isNumber(value)) return notPlain;
        length = Number(value);
        break;
      case 'transfer-encoding':
        if (length !== untilClose || minor === 0 || value.toLowerCase() !== 'chunked') return notPlain;
        length = inChunks;
        break;
      case 'connection':
        if (value === 'keep-alive') keepsAlive = true;
        else if (/(^|,)[ \t]*close[ \t]*(,|$)/i.test(value)) closes = true;
        else if (/(^|,)[ \t]*keep-alive[ \t]*(,|$)/i.test(value)) keepsAlive = true;
        break;
      case 'keep-alive': {
        const seconds = /(?:^|[\s,;])timeout=([0-9]{1,6})/i.exec(value)?.[1];
        if (seconds !== undefined) idleHint = Number(seconds) * 1000;
        // It is closed as soon as it is idle, whatever else is said of it.
        if (idleHint === 0 && seconds !== undefined) closes = true;
        break;
      }
      default:
    }
  }
  // Nothing can follow on a connection that ends: what is not final would be all.
  if (status < 200 && (closes || !keepsAlive)) return notPlain;
  return { status, headers, length, keepsAlive: keepsAlive && !closes, idleHint, end };
}
