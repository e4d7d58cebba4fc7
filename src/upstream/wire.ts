import {
  ChunkDecoder,
  type ChunkSink,
  chunkHead,
  chunkTail,
  inChunks,
  lastChunk,
  notPlain,
  type PlainResponse,
  partial,
  readResponse,
  readTrailer,
  untilClose,
} from '../http1/index.ts';
import { open, type PatientSocket } from './connect.ts';
import type { UpstreamOptions } from './options.ts';
import type { Sweepable } from './sweep.ts';
import { maxHeadSize, type ResponseEvents, TolerantReader } from './tolerant-reader.ts';
import { WireError } from './wire-error.ts';

/** Who has a request sent. Nothing is told any more after `onEnd`, `onError`, `onUnreachable`, or once it let go of the wire. */
export interface WireUser extends ResponseEvents {
  /** A connection is there, and this user's. @param reused it carried a response before */
  onWire(wire: Wire, reused: boolean): void;
  /** No connection could be made. */
  onUnreachable(error: Error): void;
  /** What was read in one go was told. */
  onRead(): void;
  /** More of the body of the request can be sent. */
  onWritable(): void;
}

/** How the body of a request is framed: not there, of a length in octets, or in chunks. */
export type Framing = { readonly length: number } | 'chunked' | null;

/** Where a wire goes when it is free again, or gone. */
export interface WireOwner {
  free(wire: Wire): void;
  gone(wire: Wire): void;
}

/** Milliseconds for which an idle connection is kept when the upstream does not say how long it keeps it; less than any server's habit. */
const idleTime = 4000;
/** Milliseconds that it is given up before the upstream would, and the longest that one is believed. */
const margin = 2000;
const longestIdle = 600_000;

/**
 * Where all wires read to: what is read is used up before the next read, or copied. Saves an allocation of this size for each read. The
 * size is what one read of a large body brings.
 */
const buffer = Buffer.allocUnsafeSlow(64 * 1024);

type State = 'connecting' | 'idle' | 'head' | 'body' | 'chunks' | 'tolerant' | 'closed';

/**
 * One connection to a target, that carries one request at a time.
 *
 *   connecting ─▶ idle ─ send ─▶ head ─▶ body | chunks ─▶ idle
 *                                  └───▶ tolerant ─▶ closed
 */
export class Wire implements Sweepable, ChunkSink {
  readonly #owner: WireOwner;
  readonly #options: UpstreamOptions;
  readonly #socket: PatientSocket;
  #user: WireUser | null;
  #state: State = 'connecting';
  #method = '';
  /** A head of which a part is here. */
  #rest: Buffer | null = null;
  /** Octets of the response body that are still to come. */
  #left = 0;
  #keepsAlive = false;
  #idle = idleTime;
  #chunks: ChunkDecoder | null = null;
  #tolerant: TolerantReader | null = null;
  #framing: Framing = null;
  /** Octets of the request body that are still to be sent. */
  #unsent = 0;
  /** The request was sent as a whole. */
  #sent = true;
  #paused = false;
  /** The tolerant reader can take no more for now. */
  #choked = false;
  /** The upstream said that it sends no more. */
  #finished = false;
  /** Something moved since the last look. */
  #moved = false;
  #quietSince = 0;
  /** Monotonic milliseconds from which on an idle one is not used any more. */
  #idleUntil = 0;

  /** Connects for a first user. */
  constructor(url: URL, user: WireUser, owner: WireOwner, options: UpstreamOptions) {
    this.#user = user;
    this.#owner = owner;
    this.#options = options;
    const callback = (read: number) => this.#read(buffer.subarray(0, read));
    this.#socket = open(url, options.connectTimeout, { buffer, callback });
    this.#socket.patient = false;
    this.#socket.once('connect', () => this.#connected());
    this.#socket.on('drain', () => {
      this.#moved = true;
      this.#user?.onWritable();
    });
    this.#socket.once('end', () => this.#ended());
    this.#socket.once('error', (error) => this.#fail(error));
    this.#socket.once('close', () => {
      if (!this.#finished) this.#fail(new WireError('closed'));
      this.#owner.gone(this);
    });
  }

  /** Whether it can carry a request. */
  get usable(): boolean {
    return this.#state === 'idle' && this.#socket.writable && this.#socket.readable;
  }

  /** Gives it to a user, who sends a request. */
  use(user: WireUser): void {
    this.#user = user;
    user.onWire(this, true);
  }

  /**
   * Sends the head of a request. A body is sent by `write` and `end`; until `uncork` it goes in the same packet.
   * @param text with the empty line behind it
   */
  send(method: string, text: string, framing: Framing): void {
    this.#method = method;
    this.#state = 'head';
    this.#framing = framing;
    this.#sent = framing === null;
    this.#paused = false;
    this.#moved = true;
    if (framing) {
      this.#unsent = framing === 'chunked' ? 0 : framing.length;
      this.#socket.patient = true;
      this.#socket.cork();
    }
    this.#socket.write(text, 'latin1');
  }

  uncork(): void {
    this.#socket.uncork();
  }

  /** Sends a part of the body. @returns false when no more can be taken for now */
  write(chunk: Buffer): boolean {
    this.#moved = true;
    if (this.#framing === 'chunked') {
      this.#socket.cork();
      this.#socket.write(chunkHead(chunk.length), 'latin1');
      this.#socket.write(chunk);
      const more = this.#socket.write(chunkTail, 'latin1');
      this.#socket.uncork();
      return more;
    }
    this.#unsent -= chunk.length;
    // Longer than was said: what is too much would be taken for another request.
    if (this.#unsent < 0) this.#fail(new WireError('body'));
    else return this.#socket.write(chunk);
    return false;
  }

  /** The body is complete. */
  end(): void {
    if (this.#framing === 'chunked') this.#socket.write(lastChunk(), 'latin1');
    else if (this.#unsent !== 0) this.#fail(new WireError('body'));
    this.#sent = true;
    this.#moved = true;
  }

  /** Reads no further for now. */
  pause(): void {
    this.#paused = true;
    this.#tolerant?.pause();
    this.#socket.pause();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#moved = true;
    this.#tolerant?.resume();
    if (!this.#choked) this.#socket.resume();
  }

  /** The user does not want it after all, and has sent nothing. */
  giveBack(): void {
    this.#user = null;
    this.#retire();
  }

  /** The user does not want it any more: what is under way on it is lost. */
  abandon(): void {
    this.#user = null;
    this.#close();
  }

  /** Closes an idle one; one in use fails with an error. */
  close(error: Error): void {
    this.#fail(error);
  }

  check(now: number): void {
    if (this.#state === 'idle') {
      if (now >= this.#idleUntil) this.#close();
      return;
    }
    // Where the client is waited for, to send or to read, that is not the upstream's fault.
    const waiting =
      this.#state !== 'connecting' && !this.#paused && !this.#choked && (this.#sent || this.#socket.writableNeedDrain);
    if (this.#moved || !waiting) {
      this.#moved = false;
      this.#quietSince = now;
      return;
    }
    const { responseTimeout, idleTimeout } = this.#options;
    if (now - this.#quietSince >= (this.#state === 'head' ? responseTimeout : idleTimeout)) {
      this.#fail(new WireError('timeout'));
    }
  }

  onChunk(part: Buffer): void {
    this.#user?.onData(part);
  }

  #connected(): void {
    this.#state = 'idle';
    this.#user?.onWire(this, false);
  }

  /** @returns false to read no further for now */
  #read(chunk: Buffer): boolean {
    this.#moved = true;
    const user = this.#user;
    let bytes = chunk;
    if (this.#rest) {
      bytes = Buffer.concat([this.#rest, chunk]);
      this.#rest = null;
    }
    while (bytes.length > 0) {
      const used = this.#take(bytes);
      if (used === bytes.length) break;
      bytes = bytes.subarray(used);
    }
    // The response may have ended, and the wire have been given to another user, who is told nothing of this read.
    if (user !== null && user === this.#user) user.onRead();
    return !this.#paused && !this.#choked;
  }

  /** @returns how much of it was used */
  #take(bytes: Buffer): number {
    switch (this.#state) {
      case 'head':
        return this.#takeHead(bytes);
      case 'body': {
        const part = bytes.length > this.#left ? bytes.subarray(0, this.#left) : bytes;
        this.#left -= part.length;
        this.#user?.onData(part);
        if (this.#left === 0 && this.#state === 'body') this.#complete([], part.length < bytes.length);
        return part.length;
      }
      case 'chunks':
        return this.#takeChunks(bytes);
      case 'tolerant':
        this.#choked = this.#tolerant?.read(bytes) === false;
        return bytes.length;
      default:
        // Nobody asked for it.
        this.#close();
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
      this.#tolerate(bytes);
      return bytes.length;
    }
    if (head.status < 200) this.#user?.onInform(head.status, head.headers);
    else this.#begin(head, bytes.length > head.end);
    return head.end;
  }

  #begin(head: PlainResponse, more: boolean): void {
    const { status, headers, length } = head;
    const bodiless = this.#method === 'HEAD' || status === 204 || status === 304;
    this.#keepsAlive = head.keepsAlive && (bodiless || length !== untilClose);
    this.#idle = head.idleHint > 0 ? Math.min(head.idleHint - margin, longestIdle) : idleTime;
    this.#left = bodiless ? 0 : length === untilClose ? Number.POSITIVE_INFINITY : length;
    this.#state = length === inChunks && !bodiless ? 'chunks' : 'body';
    this.#chunks = this.#state === 'chunks' ? new ChunkDecoder() : null;
    this.#user?.onHead(status, headers, length === untilClose && !bodiless);
    if (this.#left === 0 && this.#state === 'body') this.#complete([], more);
  }

  #takeChunks(bytes: Buffer): number {
    const chunks = this.#chunks as ChunkDecoder;
    const end = chunks.decode(bytes, 0, this);
    if (end < 0) {
      this.#fail(new WireError('invalid', `the body is ${chunks.fault}`));
      return bytes.length;
    }
    if (chunks.done && this.#state === 'chunks') {
      const trailers = chunks.trailer === '' ? [] : readTrailer(chunks.trailer);
      if (trailers) this.#complete(trailers, end < bytes.length);
      else this.#fail(new WireError('invalid', 'the trailers are malformed'));
    }
    return end;
  }

  /** @param excess the upstream sent more than that */
  #complete(trailers: string[], excess: boolean): void {
    const user = this.#user;
    this.#user = null;
    this.#chunks = null;
    if (this.#keepsAlive && this.#sent && !excess && this.#idle > 0 && !this.#socket.writableNeedDrain) {
      this.resume();
      this.#retire();
    } else this.#close();
    user?.onEnd(trailers);
  }

  /** Nobody uses it for now. */
  #retire(): void {
    this.#state = 'idle';
    this.#socket.patient = false;
    this.#idleUntil = performance.now() + this.#idle;
    this.#owner.free(this);
  }

  #tolerate(bytes: Buffer): void {
    this.#state = 'tolerant';
    const tell = <A extends unknown[]>(event: (user: WireUser, ...args: A) => void) => {
      return (...args: A) => {
        if (!this.#user) return;
        event(this.#user, ...args);
        this.#user?.onRead();
      };
    };
    const finish = <A extends unknown[]>(event: (user: WireUser, ...args: A) => void) => {
      return (...args: A) => {
        const user = this.#user;
        this.#user = null;
        this.#close();
        if (user) event(user, ...args);
      };
    };
    const events: ResponseEvents = {
      onInform: tell((user, status: number, headers: string[]) => user.onInform(status, headers)),
      onHead: tell((user, status: number, headers: string[], ends: boolean) => user.onHead(status, headers, ends)),
      onData: tell((user, chunk: Buffer) => user.onData(chunk)),
      onEnd: finish((user, trailers: string[]) => user.onEnd(trailers)),
      onError: finish((user, error: Error) => user.onError(error)),
    };
    this.#tolerant = new TolerantReader(this.#method, events, () => {
      this.#choked = false;
      if (!this.#paused) this.#socket.resume();
    });
    this.#choked = !this.#tolerant.read(bytes);
  }

  #ended(): void {
    this.#finished = true;
    if (this.#tolerant) this.#tolerant.end(null);
    else if (this.#state === 'body' && this.#left === Number.POSITIVE_INFINITY) this.#complete([], false);
    else this.#fail(new WireError('closed'));
  }

  #fail(error: Error): void {
    if (this.#tolerant && this.#user) {
      this.#tolerant.end(error);
      return;
    }
    const user = this.#user;
    const connecting = this.#state === 'connecting';
    this.#user = null;
    this.#close();
    if (connecting) user?.onUnreachable(error);
    else user?.onError(error);
  }

  #close(): void {
    this.#state = 'closed';
    this.#tolerant?.destroy();
    this.#socket.destroy();
  }
}
