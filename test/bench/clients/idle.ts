/**
 * Connections that stay open and idle after one request each. Messages: in `IdleLoad`, out `{open}` when all have their
 * answer, or `{failure}`; in anything, out `{open}`: how many still are. It ends with its channel.
 */
import { once } from 'node:events';
import { type ConnectionOptions, connect, createSecureContext, type TLSSocket } from 'node:tls';
import { reply } from './reply.ts';
import type { IdleLoad } from './types.ts';

/** Connections that are being opened at a time. */
const AT_A_TIME = 32;
/** Client addresses 127.0.0.1 and on, so that there are ports enough. */
const ADDRESSES = 4;

process.on('disconnect', () => process.exit());
const [{ target, path, bodyBytes, connections }] = (await once(process, 'message')) as [IdleLoad];
const { host = '127.0.0.1', port, servername, ca } = target;
const secureContext = createSecureContext({ ca });
const question = `GET ${path} HTTP/1.1\r\nHost: ${servername}:${port}\r\n\r\n`;
const open = new Set<TLSSocket>();
let begun = 0;

try {
  await Promise.all(Array.from({ length: AT_A_TIME }, openOneAfterAnother));
  process.on('message', () => reply({ open: open.size }));
  reply({ open: open.size });
} catch (error) {
  reply({ failure: String(error) });
}

async function openOneAfterAnother(): Promise<void> {
  while (begun < connections) await openOne(begun++);
}

async function openOne(index: number): Promise<void> {
  // Options of net.connect() are taken as well; the types of tls.connect() do not have this one.
  const localAddress = `127.0.0.${1 + (index % ADDRESSES)}`;
  const socket = connect({ host, port, servername, secureContext, localAddress } as ConnectionOptions);
  const signal = AbortSignal.timeout(30_000);
  await once(socket, 'secureConnect', { signal });
  socket.write(question);
  await answered(socket, signal);
  open.add(socket);
  socket.on('error', () => {});
  socket.once('close', () => open.delete(socket));
  socket.resume();
}

/** Reads one answer: 200, and a body of the right length. */
function answered(socket: TLSSocket, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    let text = '';
    const end = (error?: Error) => {
      socket.removeAllListeners('data').removeAllListeners('error').removeAllListeners('close');
      signal.onabort = null;
      if (error) reject(error);
      else resolve();
    };
    signal.onabort = () => end(new Error('no answer in time'));
    socket.on('error', end);
    socket.on('close', () => end(new Error('closed before its answer')));
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
      const head = text.indexOf('\r\n\r\n');
      if (head < 0) return;
      const length = Number(/^content-length: *(\d+)/im.exec(text)?.[1]);
      if (!text.startsWith('HTTP/1.1 200') || length !== bodyBytes) end(new Error(text.slice(0, head)));
      else if (text.length >= head + 4 + bodyBytes) end();
    });
  });
}
