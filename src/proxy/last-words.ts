import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { catalogue, type ErrorCode } from '../errors.ts';

/** Milliseconds that the last words may take to leave. */
export const flushing = 30_000;
/** Milliseconds for which the other side may then go on sending, or hold its own side open. */
export const patience = 2000;

/**
 * Writes what is to be written last and ends the connection, so that the client gets to read it: to close with bytes unread would
 * reset the connection, and the client would lose the answer (RFC 9112 §9.6). Bounded, because a client may never close its side.
 */
export function endPolitely(socket: Socket, text = ''): void {
  if (socket.destroyed || ending.has(socket)) return;
  ending.add(socket);
  const destroyAfter = (milliseconds: number) => {
    const timer = setTimeout(() => socket.destroy(), milliseconds).unref();
    socket.once('close', () => clearTimeout(timer));
  };
  destroyAfter(flushing);
  socket.once('finish', () => destroyAfter(patience));
  if (socket.writableFinished) destroyAfter(patience);
  else if (!socket.writableEnded) socket.end(text, 'latin1');
  socket.resume();
}

const ending = new WeakSet<Socket>();

/**
 * An answer of our own as HTTP/1.1 writes it, for sockets that `node:http` has let go of.
 * @param what is wrong; the summary and remedy of the catalogue when left out
 */
export function refusalText(status: number, code: ErrorCode, what?: string): string {
  const { summary, remedy } = catalogue[code];
  const body = `${code}: ${what ?? `${summary}; ${remedy}`}\n`;
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Error'}`,
    'Connection: close',
    'Content-Type: text/plain; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
  ];
  return `${head.join('\r\n')}\r\n\r\n${body}`;
}
