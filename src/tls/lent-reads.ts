import type { TLSSocket } from 'node:tls';

/** Takes what was read. @param octets lent: they change after the call */
export type Take = (this: TLSSocket, octets: Buffer) => void;

/** What one TLS record holds at most (RFC 8446 §5.1), and so what the TLS layer gives in one go. */
const buffer = Buffer.allocUnsafeSlow(16 * 1024);

/** The slots in which Node keeps where a socket reads to: what the option `onread` of `net.Socket` fills, which a server's TLS socket does not have. */
interface Slots {
  readonly buffer: symbol;
  readonly callback: symbol;
}

type Lender = TLSSocket &
  Record<symbol, unknown> & { _handle?: { useUserBuffer?: (buffer: Buffer) => unknown } | null };

let slots: Slots | null = null;

/**
 * Has a TLS socket read into one buffer that all such sockets share, instead of one of 64 KiB that Node allocates for each read: a tenth
 * of what a small request costs. A client's socket is asked for that by the option `onread`; a server's has no such option, so its slots are filled from
 * here. Where Node does not have them any more, nothing changes, and what is read comes as `data` events.
 * What came before still comes as `data` events, and so does what comes while the socket is paused. Call once; `take` gets everything else, until `unlendReads`.
 * @returns whether reads are lent from here on
 */
export function lendReads(socket: TLSSocket, take: Take): boolean {
  const lender = socket as Lender;
  const handle = lender._handle;
  slots ??= findSlots(lender);
  if (!slots || typeof handle?.useUserBuffer !== 'function') return false;
  lender[slots.callback] = takers.get(take) ?? takerOf(take);
  lender[slots.buffer] = buffer;
  handle.useUserBuffer(buffer);
  return true;
}

/** Has everything come as `data` events again. */
export function unlendReads(socket: TLSSocket): void {
  const lender = socket as Lender;
  if (slots && lender[slots.buffer] === buffer) lender[slots.callback] = push;
}

type Callback = (this: TLSSocket, read: number) => boolean;

/** One for all sockets that are read by the same function. */
const takers = new WeakMap<Take, Callback>();

function takerOf(take: Take): Callback {
  function callback(this: TLSSocket, read: number): boolean {
    // A paused socket is not read, but what was deciphered together with the last piece still comes.
    if (this.readableLength > 0 || this.isPaused()) return push.call(this, read);
    take.call(this, buffer.subarray(0, read));
    return true;
  }
  takers.set(take, callback);
  return callback;
}

function push(this: TLSSocket, read: number): boolean {
  return this.push(Buffer.from(buffer.subarray(0, read)));
}

function findSlots(socket: object): Slots | null {
  const named = new Map(Object.getOwnPropertySymbols(socket).map((symbol) => [symbol.description, symbol]));
  const place = named.get('kBuffer');
  const callback = named.get('kBufferCb');
  return place && callback ? { buffer: place, callback } : null;
}
