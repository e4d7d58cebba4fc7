import { cr, fieldContent, hexValue, lf, token } from './octets.ts';

/** Takes what a chunked body holds. */
export interface ChunkSink {
  /** A part of the body; a view into what was given to the decoder. */
  onChunk(part: Buffer): void;
}

/** Octets that the extensions of one chunk, and a trailer section, may have; the limit of Node's own parser. */
const maxExtensions = 16 * 1024;
/** Digits that the size of a chunk may have. */
const maxDigits = 32;

const quote = 0x22;
const semicolon = 0x3b;
const equals = 0x3d;
const backslash = 0x5c;

type Place =
  | 'size'
  | 'size more'
  | 'extension'
  | 'extension name'
  | 'extension value'
  | 'extension text'
  | 'quoted'
  | 'quoted pair'
  | 'quoted end'
  | 'size end'
  | 'data'
  | 'data end'
  | 'data end lf'
  | 'trailer'
  | 'trailer end'
  | 'done';

/** Why a body was given up. */
export type ChunkFault = 'malformed' | 'extensions' | 'trailers';

/**
 * Decodes chunked bodies (RFC 9112 §7.1), of requests and of responses. Strict: sizes are hexadecimal digits without a sign or a blank, lines end with CRLF.
 * Extensions are skipped, if they are well-formed and without blanks; the trailer section is kept as it is.
 */
export class ChunkDecoder {
  #place: Place = 'size';
  #left = 0;
  /** Digits of a size, octets of extensions, or of trailers. */
  #overhead = 0;
  #trailer = '';
  /** Octets of the line of the trailer section that is being read, and whether its CR was read. */
  #lineLength = 0;
  #lineEnds = false;
  fault: ChunkFault | null = null;

  /** Whether the body is complete. */
  get done(): boolean {
    return this.#place === 'done';
  }

  /** The trailer section as received, lines with CRLF; empty when there is none. */
  get trailer(): string {
    return this.#trailer;
  }

  /**
   * Decodes what follows.
   * @returns where it stopped: at the end of `bytes`, or behind the body; -1 when it is malformed, then `fault` says how
   */
  decode(bytes: Buffer, from: number, sink: ChunkSink): number {
    let i = from;
    while (i < bytes.length && this.#place !== 'done') {
      if (this.#place === 'data') {
        const end = Math.min(bytes.length, i + this.#left);
        this.#left -= end - i;
        if (this.#left === 0) this.#place = 'data end';
        sink.onChunk(bytes.subarray(i, end));
        i = end;
      } else if (this.#place === 'trailer') {
        i = this.#readTrailer(bytes, i);
        if (i < 0) return -1;
      } else {
        if (!this.#step(bytes[i] as number)) return -1;
        i += 1;
      }
    }
    return i;
  }

  #step(octet: number): boolean {
    switch (this.#place) {
      case 'size':
        if (octetIsHex(octet)) {
          this.#left = hexValue[octet] as number;
          this.#overhead = 0;
          this.#place = 'size more';
          return true;
        }
        return this.#fail('malformed');
      case 'size more':
        if (octetIsHex(octet)) {
          this.#left = this.#left * 16 + (hexValue[octet] as number);
          this.#overhead += 1;
          return (this.#left <= Number.MAX_SAFE_INTEGER && this.#overhead < maxDigits) || this.#fail('malformed');
        }
        return this.#endExtension(octet);
      case 'size end':
        this.#place = this.#left === 0 ? 'trailer' : 'data';
        this.#overhead = 0;
        return octet === lf || this.#fail('malformed');
      case 'data end':
        this.#place = 'data end lf';
        return octet === cr || this.#fail('malformed');
      case 'data end lf':
        this.#place = 'size';
        return octet === lf || this.#fail('malformed');
      default:
        this.#overhead += 1;
        return this.#overhead > maxExtensions ? this.#fail('extensions') : this.#extend(octet);
    }
  }

  /** Extensions (RFC 9112 §7.1.1): nobody needs them, and who reads them in another way would see other chunks. */
  #extend(octet: number): boolean {
    const place = this.#place;
    if (place === 'quoted' || place === 'quoted pair') {
      if (fieldContent[octet] === 0) return this.#fail('malformed');
      if (place === 'quoted pair') this.#place = 'quoted';
      else if (octet === backslash) this.#place = 'quoted pair';
      else if (octet === quote) this.#place = 'quoted end';
      return true;
    }
    if (place !== 'quoted end' && token[octet] === 1) {
      if (place === 'extension') this.#place = 'extension name';
      else if (place === 'extension value') this.#place = 'extension text';
      return true;
    }
    if (place === 'extension name' && octet === equals) this.#place = 'extension value';
    else if (place === 'extension value' && octet === quote) this.#place = 'quoted';
    else if (place === 'extension' || place === 'extension value') return this.#fail('malformed');
    else return this.#endExtension(octet);
    return true;
  }

  /** Behind a size or an extension. */
  #endExtension(octet: number): boolean {
    if (octet === cr) this.#place = 'size end';
    else if (octet === semicolon) this.#place = 'extension';
    else return this.#fail('malformed');
    return true;
  }

  /** Up to the empty line; what its lines hold is for `readTrailer` to judge. */
  #readTrailer(bytes: Buffer, from: number): number {
    let i = from;
    while (i < bytes.length && this.#place === 'trailer') {
      const octet = bytes[i] as number;
      i += 1;
      this.#overhead += 1;
      if (this.#overhead > maxExtensions) return this.#stop('trailers');
      if (this.#lineEnds) {
        if (octet !== lf) return this.#stop('malformed');
        if (this.#lineLength === 0) this.#place = 'done';
        this.#lineEnds = false;
        this.#lineLength = 0;
      } else if (octet === cr) this.#lineEnds = true;
      else if (fieldContent[octet] === 0) return this.#stop('malformed');
      else this.#lineLength += 1;
    }
    this.#trailer += bytes.toString('latin1', from, i);
    if (this.#place === 'done') this.#trailer = this.#trailer.slice(0, -2);
    return i;
  }

  #fail(fault: ChunkFault): false {
    this.fault = fault;
    return false;
  }

  #stop(fault: ChunkFault): -1 {
    this.fault = fault;
    return -1;
  }
}

function octetIsHex(octet: number): boolean {
  return (hexValue[octet] as number) >= 0;
}

/**
 * Reads a trailer section.
 * @param section lines with CRLF
 * @returns names and values in turn, or null when it is malformed
 */
export function readTrailer(section: string): string[] | null {
  const fields: string[] = [];
  for (const line of section.split('\r\n').slice(0, -1)) {
    const match = /^([!#$%&'*+.^_`|~0-9a-z-]+):[ \t]*(.*?)[ \t]*$/i.exec(line);
    if (!match) return null;
    fields.push(match[1] ?? '', match[2] ?? '');
  }
  return fields;
}
