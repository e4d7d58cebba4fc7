/** The upstream in Node.js (see `startNodeUpstream`). Messages: in what it serves, out `{port}`; ends with its channel. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { WebSocketServer } from 'ws';
import { UPLOAD_ANSWER } from '../support/bodies.ts';

process.on('disconnect', () => process.exit());
const [setting] = (await once(process, 'message')) as [
  { bodies: readonly { path: string; bytes: number }[]; uploadBytes: number },
];
const bodies = new Map(setting.bodies.map(({ path, bytes }) => [path, Buffer.alloc(bytes, 'x')]));

/** Bytes of all uploads so far, those that were cut among them; `/received` tells. */
let totalReceived = 0;

const server = createServer((request, response) => {
  if (request.method === 'POST') receive(request, response);
  else answer(request, response);
});
server.keepAliveTimeout = 3_600_000;
server.requestTimeout = 0;
const webSockets = new WebSocketServer({ server, perMessageDeflate: false });
webSockets.on('connection', (socket) => {
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
  socket.on('error', () => socket.terminate());
});
await once(server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }), 'listening');
process.send?.({ port: (server.address() as AddressInfo).port });

function answer(request: IncomingMessage, response: ServerResponse): void {
  const body = request.url === '/received' ? Buffer.from(String(totalReceived)) : bodies.get(request.url ?? '');
  response.writeHead(body ? 200 : 404, { 'content-length': body?.length ?? 0 }).end(body);
}

function receive(request: IncomingMessage, response: ServerResponse): void {
  let received = 0;
  request.on('data', (chunk: Buffer) => {
    received += chunk.length;
    totalReceived += chunk.length;
  });
  request.on('end', () => {
    const whole = received === setting.uploadBytes;
    response.writeHead(whole ? 200 : 400, { 'content-length': UPLOAD_ANSWER.length }).end(UPLOAD_ANSWER);
  });
}
