import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { stir } from './quiet.ts';
import type { End } from './response-corpus.ts';

/** Answers every request with the same octets, whatever it is. */
export class ScriptedUpstream {
  readonly url: string;
  /** What it answers, piece by piece. */
  pieces: readonly string[] = [];
  end: End = 'open';
  /** Requests that were received since this was set to zero. */
  requests = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor(server: Server) {
    this.#server = server;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on('connection', (socket: Socket) => this.#accept(socket));
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#sockets.delete(socket);
      stir();
    });
    let text = '';
    socket.setEncoding('latin1');
    socket.on('data', (chunk: string) => {
      stir();
      text += chunk;
      for (let head = text.indexOf('\r\n\r\n'); head >= 0; head = text.indexOf('\r\n\r\n')) {
        text = text.slice(head + 4);
        this.requests += 1;
        void this.#answer(socket);
      }
    });
  }

  async #answer(socket: Socket): Promise<void> {
    for (const piece of this.pieces) {
      if (socket.destroyed) return;
      socket.write(piece, 'latin1');
      // So that it is read before the next one is there.
      await nextTurn();
      await nextTurn();
      stir();
    }
    if (this.end === 'fin') socket.end();
    if (this.end === 'reset') socket.resetAndDestroy();
  }
}

/** Starts one on a free port of loopback; it ends with the test. */
export async function startScriptedUpstream(t: Pick<TestContext, 'after'>): Promise<ScriptedUpstream> {
  const server = createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const upstream = new ScriptedUpstream(server);
  t.after(() => upstream.close());
  return upstream;
}
