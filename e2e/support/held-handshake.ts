import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import type { TestContext } from 'node:test';

/** A TCP path to a server that can stop a TLS handshake in its middle: the client's second flight waits. */
export class HeldHandshake {
  readonly port: number;
  /** Resolves when the server has answered the first flight, which is when it has chosen a certificate. */
  readonly answered: Promise<unknown>;
  #held: Buffer[] | null = [];
  #server: Socket | null = null;
  #first = true;

  constructor(port: number, answered: Promise<unknown>) {
    this.port = port;
    this.answered = answered;
  }

  join(client: Socket, server: Socket): void {
    this.#server = server;
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const) {
      one.on('error', () => {});
      one.once('close', () => other.destroy());
    }
    server.pipe(client);
    client.on('data', (chunk: Buffer) => {
      if (this.#first || !this.#held) server.write(chunk);
      else this.#held.push(chunk);
      this.#first = false;
    });
  }

  /** Lets the rest of the handshake through. */
  release(): void {
    for (const chunk of this.#held ?? []) this.#server?.write(chunk);
    this.#held = null;
  }
}

/** Opens such a path to a port of loopback, for one connection. */
export async function holdHandshake(t: Pick<TestContext, 'after'>, port: number): Promise<HeldHandshake> {
  const relay = createServer();
  await once(relay.listen(0, '127.0.0.1'), 'listening');
  const { promise: answered, resolve } = Promise.withResolvers<unknown>();
  const path = new HeldHandshake((relay.address() as { port: number }).port, answered);
  relay.once('connection', (client: Socket) => {
    relay.close();
    const server = connect(port, '127.0.0.1');
    server.once('data', resolve);
    t.after(() => server.destroy());
    path.join(client, server);
  });
  return path;
}
