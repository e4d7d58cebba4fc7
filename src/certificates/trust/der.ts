/** The only error that reading DER throws. Its message quotes nothing of what was read. */
export class DerError extends Error {}

/** Where an element stands in the bytes: its first byte, the first byte of its content, the byte after it. */
export interface DerElement {
  readonly tag: number;
  readonly start: number;
  readonly content: number;
  readonly end: number;
}

/** Tags of X.690 §8 as one byte: class, constructed bit and number. */
export const tags = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  enumerated: 0x0a,
  oid: 0x06,
  null: 0x05,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** The tag of `[number]`, constructed as it is for everything explicit. */
export function contextTag(number: number, form: 'constructed' | 'primitive' = 'constructed'): number {
  return (form === 'constructed' ? 0xa0 : 0x80) | number;
}

/**
 * Reads elements one after another, strictly (X.690 §10): definite lengths in their shortest form, nothing beyond the end of what
 * it stands in, tags of one byte. It goes only forward and calls nothing of itself, so its work is bounded by the bytes.
 */
export class DerReader {
  readonly bytes: Buffer;
  readonly #end: number;
  #at: number;

  /** @param end the byte after the last one; default: all */
  constructor(bytes: Buffer, start = 0, end = bytes.length) {
    this.bytes = bytes;
    this.#at = start;
    this.#end = end;
  }

  get done(): boolean {
    return this.#at === this.#end;
  }

  /** The tag of the next element; undefined at the end. */
  get tag(): number | undefined {
    return this.done ? undefined : this.bytes[this.#at];
  }

  /**
   * The next element.
   * @param expected its tag; any when left out
   * @throws DerError when there is none, or another one, or it is cut short
   */
  next(expected?: number): DerElement {
    const start = this.#at;
    const tag = this.#byte(start);
    if (expected !== undefined && tag !== expected) throw new DerError('an element is of another type than expected');
    if ((tag & 0x1f) === 0x1f) throw new DerError('an element has a tag of several bytes');
    let length = this.#byte(start + 1);
    let content = start + 2;
    if (length >= 0x80) {
      const size = length & 0x7f;
      if (size === 0 || size > 4) throw new DerError('an element has no definite length');
      length = 0;
      for (let i = 0; i < size; i += 1) length = length * 256 + this.#byte(content + i);
      content += size;
      if (length < 0x80 || length < 256 ** (size - 1)) throw new DerError('a length is not in its shortest form');
    }
    if (length > this.#end - content) throw new DerError('an element is cut short');
    this.#at = content + length;
    return { tag, start, content, end: this.#at };
  }

  /** The next element when it has this tag, otherwise null. */
  optional(tag: number): DerElement | null {
    return this.tag === tag ? this.next(tag) : null;
  }

  /** A reader of the content of the next element. */
  enter(tag: number): DerReader {
    return this.within(this.next(tag));
  }

  /** A reader of the content of an element of these bytes. */
  within({ content, end }: DerElement): DerReader {
    return new DerReader(this.bytes, content, end);
  }

  /** @throws DerError when there is more */
  finish(): void {
    if (!this.done) throw new DerError('there is more than expected');
  }

  /** The content bytes of an INTEGER as a string of one character per byte: equal for equal numbers (X.690 §8.3.2). */
  integerKey(): string {
    const { content, end } = this.next(tags.integer);
    const [first = 0, second = 0] = [this.bytes[content], this.bytes[content + 1]];
    const padded = end - content > 1 && ((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80));
    if (end === content || padded) throw new DerError('an integer is not in its shortest form');
    return this.bytes.toString('latin1', content, end);
  }

  /** A number of 0 to 2³¹−1. */
  smallInteger(): number {
    const key = this.integerKey();
    const value =
      key.length > 4 || key.charCodeAt(0) >= 0x80 ? Number.NaN : Buffer.from(key, 'latin1').readUIntBE(0, key.length);
    if (Number.isNaN(value)) throw new DerError('an integer is out of range');
    return value;
  }

  boolean(): boolean {
    return this.booleanOf(this.next(tags.boolean));
  }

  /** The value of an element that holds a BOOLEAN, also under an implicit tag. */
  booleanOf({ content, end }: DerElement): boolean {
    const value = this.bytes[content];
    if (end - content !== 1 || (value !== 0 && value !== 0xff)) throw new DerError('a boolean is malformed');
    return value === 0xff;
  }

  /** An object identifier in dotted form. */
  oid(): string {
    const { content, end } = this.next(tags.oid);
    if (content === end || this.#byte(end - 1) >= 0x80) throw new DerError('an object identifier is malformed');
    const arcs: number[] = [];
    let arc = 0;
    for (let at = content; at < end; at += 1) {
      const byte = this.#byte(at);
      if (arc === 0 && byte === 0x80) throw new DerError('an object identifier is malformed');
      arc = arc * 128 + (byte & 0x7f);
      if (arc > Number.MAX_SAFE_INTEGER) throw new DerError('an object identifier is malformed');
      if (byte >= 0x80) continue;
      arcs.push(arc);
      arc = 0;
    }
    const [first = 0, ...rest] = arcs;
    const root = Math.min(2, Math.floor(first / 40));
    return [root, first - root * 40, ...rest].join('.');
  }

  /** The bytes of a BIT STRING, and how many bits of the last one are unused. */
  bitString(): { readonly bytes: Buffer; readonly unused: number } {
    const { content, end } = this.next(tags.bitString);
    const unused = end > content ? this.#byte(content) : 8;
    if (unused > 7 || (unused > 0 && end - content < 2)) throw new DerError('a bit string is malformed');
    return { bytes: this.bytes.subarray(content + 1, end), unused };
  }

  /** Milliseconds since 1970 of a UTCTime or GeneralizedTime, in the forms of RFC 5280 §4.1.2.5. */
  time(): number {
    const { tag, content, end } = this.next();
    if (tag !== tags.utcTime && tag !== tags.generalizedTime) throw new DerError('a time is expected');
    const text = this.bytes.toString('latin1', content, end);
    const short = tag === tags.utcTime;
    if (!(short ? /^\d{12}Z$/ : /^\d{14}Z$/).test(text)) throw new DerError('a time is malformed');
    const digits = short ? `${text < '5' ? '20' : '19'}${text}` : text;
    const part = (from: number, to: number) => Number(digits.slice(from, to));
    const [month, day, hour, minute, second] = [part(4, 6), part(6, 8), part(8, 10), part(10, 12), part(12, 14)];
    const date = new Date(0);
    date.setUTCFullYear(part(0, 4), month - 1, day);
    // What Date turns into another day (30 February) or hour, or a leap second, is no time.
    if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day || hour > 23 || minute > 59 || second > 59) {
      throw new DerError('a time does not exist');
    }
    return date.setUTCHours(hour, minute, second);
  }

  #byte(at: number): number {
    const value = at < this.#end ? this.bytes[at] : undefined;
    if (value === undefined) throw new DerError('an element is cut short');
    return value;
  }
}

/** One extension (RFC 5280 §4.2, §5.2). */
export interface DerExtension {
  readonly oid: string;
  readonly critical: boolean;
  /** Reads what the extension holds. */
  readonly value: DerReader;
}

/**
 * Reads `Extensions`, a sequence of them, and nothing behind it.
 * @throws DerError also when one of them comes twice
 */
export function readExtensions(reader: DerReader): DerExtension[] {
  const list = reader.enter(tags.sequence);
  reader.finish();
  const extensions: DerExtension[] = [];
  while (!list.done) {
    const one = list.enter(tags.sequence);
    const oid = one.oid();
    const critical = one.tag === tags.boolean && one.boolean();
    const value = one.enter(tags.octetString);
    one.finish();
    if (extensions.some((other) => other.oid === oid)) throw new DerError('an extension is there twice');
    extensions.push({ oid, critical, value });
  }
  return extensions;
}
