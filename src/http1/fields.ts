import { colon, cr, fieldContent, lf, space, tab, token } from './octets.ts';

/** A head that is not complete yet. */
export const partial = -1;
/** A head that is not plainly well-formed: for a parser that knows hard cases. */
export const notPlain = -2;

/** More fields than that are not plain. */
const maxFields = 200;

/**
 * Where the fields of a head lie: four marks for each, the start and the end of its name and of its value. One for all heads, because
 * a head is read from it as soon as it was scanned.
 */
export const marks = new Int32Array(4 * maxFields);

/**
 * Scans field lines (RFC 9112 §5) up to the empty line behind them, in one pass, and leaves their places in `marks`. Strict: a name is a token with
 * the colon right behind it, lines end with CRLF, and none is folded.
 * @param at where the first field line begins
 * @returns where the empty line ends, `partial` or `notPlain`; the number of fields is in `scanned.fields`
 */
export function scanFields(bytes: Uint8Array, at: number): number {
  const { length } = bytes;
  let count = 0;
  let i = at;
  for (;;) {
    if (i >= length) return partial;
    if (bytes[i] === cr) {
      if (i + 1 >= length) return partial;
      scanned.fields = count;
      return bytes[i + 1] === lf ? i + 2 : notPlain;
    }
    if (count === maxFields) return notPlain;
    const name = i;
    while (i < length && token[bytes[i] as number] === 1) i += 1;
    if (i >= length) return partial;
    if (bytes[i] !== colon || i === name) return notPlain;
    const mark = count * 4;
    marks[mark] = name;
    marks[mark + 1] = i;
    i += 1;
    while (i < length && (bytes[i] === space || bytes[i] === tab)) i += 1;
    const value = i;
    while (i < length && fieldContent[bytes[i] as number] === 1) i += 1;
    if (i + 1 >= length) return i < length && bytes[i] !== cr ? notPlain : partial;
    if (bytes[i] !== cr || bytes[i + 1] !== lf) return notPlain;
    let end = i;
    while (end > value && (bytes[end - 1] === space || bytes[end - 1] === tab)) end -= 1;
    marks[mark + 2] = value;
    marks[mark + 3] = end;
    count += 1;
    i += 2;
  }
}

/** What the last scan found beside the marks. */
export const scanned = { fields: 0 };
