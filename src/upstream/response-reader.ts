import {
  ChunkDecoder,
  type ChunkSink,
  inChunks,
  notPlain,
  type PlainResponse,
  partial,
  readResponse,
  readTrailer,
  untilClose,
} from '../http1/index.ts';
import { maxHeadSize, type ResponseEvents, TolerantReader } from './tolerant-reader.ts';
import { WireError } from './wire-error.ts';

/** Who is told of a response, and can bring what follows. */
export interface ResponseSink extends ResponseEvents {
  /** More can be read, after `read` returned false. */
  onWanted(): void;
  /** Something was told outside of `read`. */
  onTurn(): void;
}

type Place = 'nothing' | 'head' | 'body' | 'chunks' | 'tolerant';

/**
 * Reads the responses on one connection, one after another.
 *
 *   nothing ─ expect ─▶ head ─▶ body | chunks ─▶ nothing
 *                         └───▶ tolerant, for good
 */
export class ResponseReader implements ChunkSink {
  readonly #sink: ResponseSink;
  #place: Place = 'nothing';
  #method = '';
  /** A head of which a part is here. */
  #rest: Buffer | null = null;
  /** Octets of the body that are still to come. */
  #left = 0;
  #head: PlainResponse | null = null;
  #chunks: ChunkDecoder | null = null;
  #tolerant: TolerantReader | null = null;
  /** Octets came that belong to nothing. */
  #excess = false;

  constructor(sink: ResponseSink) {
    this.#sink = sink;
  }

  /** Expects the response to a request. */
  expect(method: string): void {
    this.#method = method;
    this.#place = 'head';
  }

  /** Whether the head is still waited for. */
  get awaitsHead(): boolean {
    return this.#place === 'head';
  }

  /** Whether the connection is good for another response, once this one is over (RFC 9112 §9.3). */
  get keepsAlive(): boolean {
    return this.#head?.keepsAlive === true && this.#place === 'nothing' && !this.#excess;
  }

  /** Milliseconds for which the upstream says that it keeps an idle connection; 0 when it does not say. */
  get idleHint(): number {
    return this.#head?.idleHint ?? 0;
  }

  /** @returns false when it can take no more for now */
  read(chunk: Buffer): boolean {
    let bytes = chunk;
    if (this.#rest) {
      bytes = Buffer.concat([this.#rest, chunk]);
      this.#rest = null;
    }
    while (bytes.length > 0) {
      if (this.#place === 'tolerant') return this.#tolerant?.read(bytes) !== false;
      const used = this.#take(bytes);
      if (used === bytes.length) break;
      bytes = bytes.subarray(used);
    }
    return true;
  }

  /** The connection ended: in the way it should, or by an error. */
  end(error: Error | null): void {
    if (this.#tolerant) this.#tolerant.end(error);
    else if (error) this.#fail(error);
    else if (this.#place === 'body' && this.#left === Number.POSITIVE_INFINITY) this.#complete([], false);
    else this.#fail(new WireError('closed'));
  }

  pause(): void {
    this.#tolerant?.pause();
  }

  resume(): void {
    this.#tolerant?.resume();
  }

  /** Tells nothing any more. */
  destroy(): void {
    this.#place = 'nothing';
    this.#tolerant?.destroy();
  }

  onChunk(part: Buffer): void {
    if (this.#place === 'chunks') this.#sink.onData(part);
  }

  /** @returns how much of it was used */
  #take(bytes: Buffer): number {
    switch (this.#place) {
      case 'head':
        return this.#takeHead(bytes);
      case 'body':
        return this.#takeBody(bytes);
      case 'chunks':
        return this.#takeChunks(bytes);
      default:
        // Nobody asked for it.
        this.#fail(new WireError('invalid', 'it sent what was not asked for'));
        return bytes.length;
    }
  }

  #takeHead(bytes: Buffer): number {
    const head = readResponse(bytes);
    if ((typeof head === 'number' ? bytes.length : head.end) > maxHeadSize && head !== notPlain) {
      this.#fail(new WireError('invalid', 'the head is too large'));
      return bytes.length;
    }
    if (head === partial) {
      this.#rest = Buffer.from(bytes);
      return bytes.length;
    }
    if (head === notPlain || head.status === 101) {
      this.#place = 'tolerant';
      this.#tolerant = new TolerantReader(this.#method, inTurns(this.#sink), () => this.#sink.onWanted());
      return 0;
    }
    if (head.status < 200) this.#sink.onInform(head.status, head.headers);
    else this.#begin(head, bytes.length > head.end);
    return head.end;
  }

  /** @param more octets follow the head */
  #begin(head: PlainResponse, more: boolean): void {
    const { status, headers, length } = head;
    const bodiless = this.#method === 'HEAD' || status === 204 || status === 304;
    const endsWithConnection = length === untilClose && !bodiless;
    this.#head = endsWithConnection ? { ...head, keepsAlive: false } : head;
    this.#left = bodiless ? 0 : endsWithConnection ? Number.POSITIVE_INFINITY : length;
    this.#place = length === inChunks && !bodiless ? 'chunks' : 'body';
    this.#chunks = this.#place === 'chunks' ? new ChunkDecoder() : null;
    this.#sink.onHead(status, headers, endsWithConnection);
    if (this.#left === 0 && this.#place === 'body') this.#complete([], more);
  }

  #takeBody(bytes: Buffer): number {
    const part = bytes.length > this.#left ? bytes.subarray(0, this.#left) : bytes;
    this.#left -= part.length;
    this.#sink.onData(part);
    if (this.#left === 0 && this.#place === 'body') this.#complete([], part.length < bytes.length);
    return part.length;
  }

  #takeChunks(bytes: Buffer): number {
    const chunks = this.#chunks as ChunkDecoder;
    const end = chunks.decode(bytes, 0, this);
    if (end < 0) {
      this.#fail(new WireError('invalid', `the body is ${chunks.fault}`));
      return bytes.length;
    }
    if (chunks.done && this.#place === 'chunks') {
      const trailers = chunks.trailer === '' ? [] : readTrailer(chunks.trailer);
      if (trailers) this.#complete(trailers, end < bytes.length);
      else this.#fail(new WireError('invalid', 'the trailers are malformed'));
    }
    return end;
  }

  /** @param excess the upstream sent more than that */
  #complete(trailers: string[], excess: boolean): void {
    this.#place = 'nothing';
    this.#chunks = null;
    this.#excess = excess;
    this.#sink.onEnd(trailers);
  }

  #fail(error: Error): void {
    this.#place = 'nothing';
    this.#sink.onError(error);
  }
}

/** Tells each event, and that it stands by itself. */
function inTurns(sink: ResponseSink): ResponseEvents {
  return {
    onInform: (status, headers) => {
      sink.onInform(status, headers);
      sink.onTurn();
    },
    onHead: (status, headers, endsWithConnection) => {
      sink.onHead(status, headers, endsWithConnection);
      sink.onTurn();
    },
    onData: (chunk) => {
      sink.onData(chunk);
      sink.onTurn();
    },
    onEnd: (trailers) => sink.onEnd(trailers),
    onError: (error) => sink.onError(error),
  };
}
