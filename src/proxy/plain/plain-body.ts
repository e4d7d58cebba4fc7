import { ChunkDecoder, type ChunkSink, readTrailer } from '../../http1/index.ts';
import { type BodySink, ClientGone, ClientStalled, MalformedBody, type RequestBody } from '../body.ts';

/** Who brings the octets of a body. */
export interface BodyFeeder {
  /** What is there, and not used yet. */
  readonly waiting: Buffer | null;
  /** The body can take what is there, and what comes. */
  feed(): void;
  /** The body takes no more for now. */
  hold(): void;
}

/** The body of a plain request, of a known length or in chunks. */
export class PlainBody implements RequestBody, ChunkSink {
  readonly #feeder: BodyFeeder;
  #sink: BodySink | null = null;
  /** Octets that are still to come; not used with chunks. */
  #left: number;
  readonly #chunks: ChunkDecoder | null;
  #started = false;
  #paused = false;
  #discarding = false;
  #complete = false;
  #broken = false;

  /** @param length octets; -1 in chunks */
  constructor(feeder: BodyFeeder, length: number) {
    this.#feeder = feeder;
    this.#left = length;
    this.#chunks = length < 0 ? new ChunkDecoder() : null;
  }

  get started(): boolean {
    return this.#started;
  }

  get empty(): boolean {
    return !this.#started && this.#chunks !== null && this.#feeder.waiting?.indexOf('0\r\n\r\n') === 0;
  }

  /** All of it was received. */
  get complete(): boolean {
    return this.#complete;
  }

  /** What was received is no body, so that nobody knows where the next request begins. */
  get broken(): boolean {
    return this.#broken;
  }

  /** Whether it takes octets now. */
  get hungry(): boolean {
    return !this.#complete && !this.#broken && (this.#discarding || (this.#sink !== null && !this.#paused));
  }

  /** Whether nobody wants it any more. */
  get discarding(): boolean {
    return this.#discarding;
  }

  pour(sink: BodySink): void {
    this.#started = true;
    this.#sink = sink;
    this.#feeder.feed();
  }

  pause(): void {
    this.#paused = true;
    this.#feeder.hold();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#feeder.feed();
  }

  discard(): void {
    if (this.#discarding || this.#complete) return;
    this.#sink = null;
    this.#discarding = true;
    this.#feeder.feed();
  }

  /** @param bytes lent: they change after the call @returns how much of it belonged to the body */
  take(bytes: Buffer): number {
    if (this.#chunks) return this.#takeChunks(bytes, this.#chunks);
    const part = bytes.length > this.#left ? bytes.subarray(0, this.#left) : bytes;
    this.#left -= part.length;
    this.#sink?.onBody(part);
    if (this.#left === 0) this.#end();
    return part.length;
  }

  /** The client is gone. */
  gone(): void {
    this.#fail(new ClientGone());
  }

  /** The client keeps everybody waiting. */
  stalled(): void {
    this.#fail(new ClientStalled());
  }

  onChunk(part: Buffer): void {
    this.#sink?.onBody(part);
  }

  #takeChunks(bytes: Buffer, chunks: ChunkDecoder): number {
    const end = chunks.decode(bytes, 0, this);
    if (end < 0 || (chunks.done && !isSound(chunks.trailer))) {
      this.#broken = true;
      this.#fail(new MalformedBody(end >= 0 || chunks.fault === 'malformed' ? 400 : 413));
      return bytes.length;
    }
    if (chunks.done) this.#end();
    return end;
  }

  #end(): void {
    const sink = this.#sink;
    this.#complete = true;
    this.#sink = null;
    sink?.onBodyEnd();
  }

  #fail(error: Error): void {
    const sink = this.#sink;
    this.#sink = null;
    this.#discarding = true;
    sink?.onBodyError(error);
  }
}

/** Trailers are not passed on, but what frames a message where nothing may (RFC 9110 §6.5.1) is no accident. */
function isSound(trailer: string): boolean {
  if (trailer === '') return true;
  const fields = readTrailer(trailer);
  return fields?.every((name, i) => i % 2 === 1 || !/^(content-length|transfer-encoding)$/i.test(name)) ?? false;
}
