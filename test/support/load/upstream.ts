import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { WebSocketServer } from 'ws';
import { ScriptProcess } from '../child.ts';
import { bodyFor, DOWNLOAD_BYTES, downloadBytes } from './bodies.ts';

export interface Upstream {
  readonly port: number;
  /** `http://127.0.0.1:PORT` */
  readonly url: string;
  /** Process id, when it has a process of its own. */
  readonly pid?: number | undefined;
  close(): Promise<void>;
}

/**
 * The plaintext service behind the proxy, in this process: a small JSON body for any path, `/big?bytes=N` streams
 * (100 MB by default), and WebSockets echo.
 */
export async function startUpstream(): Promise<Upstream> {
  const server = createServer(answer);
  // Long enough that the upstream's own idle timeout never closes a connection that the proxy is about to use.
  server.keepAliveTimeout = 120_000;
  const webSockets = new WebSocketServer({ server, perMessageDeflate: false });
  webSockets.on('connection', (socket) => {
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
    socket.on('error', () => socket.terminate());
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    close: async () => {
      for (const socket of webSockets.clients) socket.terminate();
      server.close();
      server.closeAllConnections();
    },
  };
}

/** The same service in a process of its own. */
export async function forkUpstream(): Promise<Upstream> {
  const script = new ScriptProcess(new URL('./upstream-process.ts', import.meta.url));
  const { port } = await script.next<{ port: number }>(10_000);
  return { port, url: `http://127.0.0.1:${port}`, pid: script.pid, close: () => script.stop() };
}

function answer(request: IncomingMessage, response: ServerResponse): void {
  const path = request.url ?? '/';
  request.resume();
  if (path.startsWith('/big')) {
    const bytes = Number(new URLSearchParams(path.split('?')[1]).get('bytes') ?? DOWNLOAD_BYTES);
    response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': bytes });
    const body = Readable.from(downloadChunks(bytes), { objectMode: false });
    response.once('close', () => body.destroy());
    body.pipe(response);
    return;
  }
  const body = bodyFor(path);
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) });
  response.end(body);
}

function* downloadChunks(bytes: number): Generator<Buffer> {
  for (let sent = 0; sent < bytes; ) {
    const chunk = downloadBytes(sent, Math.min(64 * 1024, bytes - sent));
    yield chunk;
    sent += chunk.length;
  }
}
