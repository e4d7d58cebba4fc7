import type { TLSSocket } from 'node:tls';

/** What fits in one write: a head and what was read from upstream in one go. */
const room = Buffer.allocUnsafeSlow(128 * 1024);
/** A part of this size is worth a write of its own rather than a copy. */
const large = 16 * 1024;

/** Who writes to the room now, and how much of it is filled. */
let writer: Outbox | null = null;
let filled = 0;

/**
 * Collects what is to be written to a client in one turn, and writes it at once: one TLS record, one packet. All share one room, because all that is
 * read from an upstream in one go is written in the same go; who comes while another has not sent yet sends that first.
 *
 * The TLS layer has encrypted what it was given, or copied it, when `write` returns; only what it cannot take yet, because a write
 * is under way, is kept by reference, and is copied here.
 */
export class Outbox {
  readonly #socket: TLSSocket;

  constructor(socket: TLSSocket) {
    this.#socket = socket;
  }

  /** @param text each character is one octet */
  text(text: string): void {
    if (text.length > this.#free()) this.#spill(Buffer.from(text, 'latin1'));
    else filled += room.write(text, filled, 'latin1');
  }

  /** @param bytes lent: they change after the call */
  bytes(bytes: Buffer): void {
    const free = this.#free();
    // Behind something else it is copied all the same: a write of its own would have to wait, and be copied for that.
    if (bytes.length > free || (bytes.length >= large && filled === 0)) this.#spill(bytes);
    else filled += bytes.copy(room, filled);
  }

  /** Sends what was collected. */
  send(): void {
    if (writer !== this) return;
    const length = filled;
    writer = null;
    filled = 0;
    if (length > 0) this.#write(room.subarray(0, length));
  }

  /** Whether the client can take more. */
  get hasRoom(): boolean {
    return !this.#socket.writableNeedDrain;
  }

  #free(): number {
    if (writer !== this) {
      writer?.send();
      writer = this;
      filled = 0;
    }
    return room.length - filled;
  }

  /** What does not go through the room goes behind what is in it. */
  #spill(bytes: Buffer): void {
    this.send();
    this.#write(bytes);
  }

  #write(bytes: Buffer): void {
    const socket = this.#socket;
    if (socket.writable) socket.write(socket.writableLength > 0 ? Buffer.from(bytes) : bytes);
  }
}
