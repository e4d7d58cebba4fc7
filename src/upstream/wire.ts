import { chunkHead, chunkTail, lastChunk } from '../http1/index.ts';
import { open, type PatientSocket } from './connect.ts';
import type { UpstreamOptions } from './options.ts';
import { Outgoing } from './outgoing.ts';
import { ResponseReader, type ResponseSink } from './response-reader.ts';
import type { Sweepable } from './sweep.ts';
import type { ResponseEvents } from './tolerant-reader.ts';
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

type State = 'connecting' | 'idle' | 'busy' | 'closed';

/**
 * One connection to a target, that carries one request at a time.
 *
 *   connecting ─▶ idle ─ send ─▶ busy ─ the response is complete ─▶ idle
 *                                  └─▶ closed
 */
export class Wire implements Sweepable, ResponseSink {
  readonly #owner: WireOwner;
  readonly #options: UpstreamOptions;
  readonly #socket: PatientSocket;
  /** The body of the request. */
  readonly #outgoing: Outgoing;
  readonly #reader = new ResponseReader(this);
  #user: WireUser | null;
  #state: State = 'connecting';
  #framing: Framing = null;
  /** Octets of the request body that are still to be sent. */
  #unsent = 0;
  /** The request was sent as a whole. */
  #sent = true;
  /** The user takes no more for now. */
  #paused = false;
  /** The reader takes no more for now. */
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
    this.#outgoing = new Outgoing(this.#socket);
    this.#socket.patient = false;
    this.#socket.once('connect', () => this.#connected());
    this.#socket.on('drain', () => {
      this.#moved = true;
      this.#user?.onWritable();
    });
    this.#socket.once('end', () => {
      this.#finished = true;
      this.#reader.end(null);
    });
    this.#socket.once('error', (error) => this.#fail(error));
    this.#socket.once('close', () => {
      if (!this.#finished) this.#fail(new WireError('closed'));
      this.#owner.gone(this);
    });
  }

  /** Whether it can carry a request. */
  get usable(): boolean {
    return this.#state === 'idle' && !this.#socket.destroyed;
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
    this.#reader.expect(method);
    this.#state = 'busy';
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
    this.#outgoing.flush();
    this.#socket.uncork();
  }

  /** Sends a part of the body. @param chunk lent: it changes after the call @returns false when no more can be taken for now */
  write(chunk: Buffer): boolean {
    this.#moved = true;
    const outgoing = this.#outgoing;
    if (this.#framing === 'chunked') {
      outgoing.text(chunkHead(chunk.length));
      outgoing.bytes(chunk);
      outgoing.text(chunkTail);
    } else {
      this.#unsent -= chunk.length;
      // Longer than was said: what is too much would be taken for another request.
      if (this.#unsent < 0) {
        this.#fail(new WireError('body'));
        return false;
      }
      outgoing.bytes(chunk);
    }
    // With the last part `end` comes, and with the first ones `uncork`.
    if (this.#unsent !== 0 || this.#framing === 'chunked') outgoing.flushSoon();
    return !this.#socket.writableNeedDrain;
  }

  /** The body is complete. */
  end(): void {
    if (this.#framing === 'chunked') this.#outgoing.text(lastChunk());
    else if (this.#unsent !== 0) this.#fail(new WireError('body'));
    this.#outgoing.flush();
    this.#sent = true;
    this.#moved = true;
  }

  /** Reads no further for now. */
  pause(): void {
    this.#paused = true;
    this.#reader.pause();
    this.#socket.pause();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#moved = true;
    this.#reader.resume();
    if (!this.#choked) this.#socket.resume();
  }

  /** The user does not want it after all, and has sent nothing. */
  giveBack(): void {
    this.#user = null;
    this.#retire(idleTime);
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
    if (now - this.#quietSince >= (this.#reader.awaitsHead ? responseTimeout : idleTimeout)) {
      this.#fail(new WireError('timeout'));
    }
  }

  onInform(status: number, headers: string[]): void {
    this.#user?.onInform(status, headers);
  }

  onHead(status: number, headers: string[], endsWithConnection: boolean): void {
    this.#user?.onHead(status, headers, endsWithConnection);
  }

  onData(chunk: Buffer): void {
    this.#user?.onData(chunk);
  }

  onEnd(trailers: string[]): void {
    const user = this.#user;
    const { keepsAlive, idleHint } = this.#reader;
    const idle = idleHint > 0 ? Math.min(idleHint - margin, longestIdle) : idleTime;
    this.#user = null;
    if (keepsAlive && this.#sent && idle > 0 && !this.#socket.writableNeedDrain) {
      this.resume();
      this.#retire(idle);
    } else this.#close();
    user?.onEnd(trailers);
  }

  onError(error: Error): void {
    this.#fail(error);
  }

  onWanted(): void {
    this.#choked = false;
    if (!this.#paused) this.#socket.resume();
  }

  onTurn(): void {
    this.#user?.onRead();
  }

  #connected(): void {
    this.#state = 'idle';
    this.#user?.onWire(this, false);
  }

  /** @returns false to read no further for now */
  #read(chunk: Buffer): boolean {
    const user = this.#user;
    this.#moved = true;
    // Nobody asked for it.
    if (this.#state !== 'busy') this.#close();
    else this.#choked = !this.#reader.read(chunk);
    // The response may have ended, and the wire have been given to another user, who is told nothing of this read.
    if (user !== null && user === this.#user) user.onRead();
    return !this.#paused && !this.#choked;
  }

  /** Nobody uses it for now. @param idle milliseconds for which it may be kept */
  #retire(idle: number): void {
    this.#state = 'idle';
    this.#socket.patient = false;
    this.#idleUntil = performance.now() + idle;
    this.#owner.free(this);
  }

  #fail(error: Error): void {
    const user = this.#user;
    const connecting = this.#state === 'connecting';
    this.#user = null;
    this.#close();
    if (connecting) user?.onUnreachable(error);
    else user?.onError(error);
  }

  #close(): void {
    this.#state = 'closed';
    this.#reader.destroy();
    this.#socket.destroy();
  }
}
