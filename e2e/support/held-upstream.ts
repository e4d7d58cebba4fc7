import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import { WebSocketServer } from 'ws';

/** What the second half of a download is. */
export const secondHalf = 'x'.repeat(256 * 1024);

/**
 * A plaintext service that answers when it is told to: `/hold/NAME` has no response and `/half/NAME` half a response until
 * `release(NAME)`. Anything else is answered at once; WebSockets echo.
 */
export class HeldUpstream {
  readonly url: string;
  readonly #held = new Map<string, ServerResponse>();
  readonly #waiting = new Map<string, () => void>();

  constructor(port: number) {
    this.url = `http://127.0.0.1:${port}`;
  }

  /** Resolves when a held request has arrived. */
  async arrived(name: string): Promise<void> {
    if (!this.#held.has(name)) await new Promise<void>((resolve) => this.#waiting.set(name, resolve));
  }

  /** Answers a held request, or the rest of it. */
  release(name: string): void {
    const response = this.#held.get(name);
    if (!response) throw new Error(`${name} is not held`);
    this.#held.delete(name);
    response.end(response.headersSent ? secondHalf : `released ${name}`);
  }

  answer(request: IncomingMessage, response: ServerResponse): void {
    request.resume();
    const [, how, name = ''] = (request.url ?? '/').split('/');
    if (how !== 'hold' && how !== 'half') {
      response.end(`answer to ${request.url}`);
      return;
    }
    if (how === 'half') response.write('first half');
    this.#held.set(name, response);
    this.#waiting.get(name)?.();
  }
}

/** Starts it on a free port of loopback; it ends with the test. */
export async function startHeldUpstream(t: Pick<TestContext, 'after'>): Promise<HeldUpstream> {
  const server = createServer((request, response) => upstream.answer(request, response));
  server.keepAliveTimeout = 120_000;
  const webSockets = new WebSocketServer({ server, perMessageDeflate: false });
  webSockets.on('connection', (socket) => {
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
    socket.on('error', () => socket.terminate());
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const upstream = new HeldUpstream((server.address() as AddressInfo).port);
  t.after(() => {
    for (const socket of webSockets.clients) socket.terminate();
    server.close();
    server.closeAllConnections();
  });
  return upstream;
}
