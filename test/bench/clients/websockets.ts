/**
 * WebSocket clients, each of which sends a message when it has the echo of the one before. Messages: in `WebSocketLoad`,
 * out `{ready}` when all are open; in `{seconds}`, out `WebSocketReport`, again and again. It ends with its channel.
 */
import { once } from 'node:events';
import { createSecureContext } from 'node:tls';
import { WebSocket } from 'ws';
import { latencyOf } from '../support/latency.ts';
import { reply } from './reply.ts';
import type { WebSocketLoad, WebSocketReport } from './types.ts';

process.on('disconnect', () => process.exit());
const [{ target, connections, bytes }] = (await once(process, 'message')) as [WebSocketLoad];
const { host = '127.0.0.1', port, servername, ca } = target;
const secureContext = createSecureContext({ ca });
const message = Buffer.alloc(bytes, 'm');

const sockets = await Promise.all(Array.from({ length: connections }, open));
process.on('message', ({ seconds }: { seconds: number }) => void run(seconds));
reply({ ready: true });

async function open(): Promise<WebSocket> {
  const options = { servername, secureContext, headers: { host: `${servername}:${port}` }, perMessageDeflate: false };
  const socket = new WebSocket(`wss://${host}:${port}/echo`, options);
  await once(socket, 'open');
  return socket;
}

async function run(seconds: number): Promise<void> {
  const latencies: number[] = [];
  const began = performance.now();
  const reasons = await Promise.all(sockets.map((socket) => converse(socket, began + seconds * 1000, latencies)));
  const failure = reasons.find((reason) => reason !== undefined);
  const report: WebSocketReport = {
    failure,
    units: latencies.length,
    seconds: (performance.now() - began) / 1000,
    latency: latencyOf(latencies),
  };
  reply(report);
}

/** Echoes until a time; what went wrong, or undefined. */
function converse(socket: WebSocket, until: number, latencies: number[]): Promise<string | undefined> {
  return new Promise((resolve) => {
    let sent = performance.now();
    const end = (reason?: string) => {
      socket.removeAllListeners();
      resolve(reason);
    };
    socket.on('message', (data: Buffer) => {
      const now = performance.now();
      latencies.push(now - sent);
      if (!message.equals(data)) end('a wrong echo');
      else if (now >= until) end();
      else {
        sent = now;
        socket.send(message);
      }
    });
    socket.on('error', (error) => end(error.message));
    socket.on('close', (code) => end(`closed with ${code}`));
    socket.send(message);
  });
}
