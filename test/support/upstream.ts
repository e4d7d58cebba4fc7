import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import type { TestContext } from 'node:test';

/** What an upstream does with a request whose head has arrived: the answer as raw text, or whatever it likes to do with it. */
export type Script = (request: ReceivedRequest) => unknown;

/** A plaintext upstream that records every byte that it receives and answers with raw text. */
export class RecordingUpstream {
  readonly url: string;
  readonly port: number;
  readonly connections: UpstreamConnection[] = [];
  /** Every request, in the order in which their heads arrived. */
  readonly requests: ReceivedRequest[] = [];
  readonly #server: Server;
  readonly #unclaimed: ReceivedRequest[] = [];
  readonly #waiting: ((request: ReceivedRequest) => void)[] = [];

  constructor(server: Server, script: Script) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
    this.url = `http://127.0.0.1:${this.port}`;
    server.on('connection', (socket: Socket) => {
      const connection = new UpstreamConnection(socket, (request) => this.#received(request, script));
      this.connections.push(connection);
    });
  }

  /** The next request that nobody has asked for yet. */
  next(): Promise<ReceivedRequest> {
    const request = this.#unclaimed.shift();
    if (request) return Promise.resolve(request);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Everything that was received, all connections together. */
  get bytes(): string {
    return this.connections.map(({ text }) => text).join('');
  }

  /** Ends at once, with a reset for whoever is connected. */
  close(): void {
    this.#server.close();
    for (const { socket } of this.connections) socket.destroy();
  }

  #received(request: ReceivedRequest, script: Script): void {
    this.requests.push(request);
    const waiting = this.#waiting.shift();
    if (waiting) waiting(request);
    else this.#unclaimed.push(request);
    const answer = script(request);
    if (typeof answer === 'string') request.reply(answer);
  }
}

/** One connection from the proxy. */
export class UpstreamConnection {
  readonly socket: Socket;
  /** Resolves when the connection is gone, whoever ended it. */
  readonly closed: Promise<void>;
  #text = '';
  /** What of it is not taken apart yet. */
  #rest = '';
  /** The end of it, of the length of an empty line less one. */
  #last = '';
  #current: ReceivedRequest | null = null;
  #upgraded = false;
  readonly #onRequest: (request: ReceivedRequest) => void;
  readonly #watchers = new Set<() => void>();

  constructor(socket: Socket, onRequest: (request: ReceivedRequest) => void) {
    this.socket = socket;
    this.#onRequest = onRequest;
    socket.on('error', () => {});
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()));
    socket.setEncoding('latin1');
    socket.on('data', (chunk: string) => {
      this.#text += chunk;
      this.#rest += chunk;
      if (this.#endsSomething(chunk)) this.#parse();
      for (const watcher of this.#watchers) watcher();
    });
  }

  /** Everything that was received on it. */
  get text(): string {
    return this.#text;
  }

  /** Resolves when what was received holds a text. */
  until(text: string): Promise<void> {
    return new Promise((resolve) => {
      const watcher = () => {
        if (!this.#text.includes(text)) return;
        this.#watchers.delete(watcher);
        resolve();
      };
      this.#watchers.add(watcher);
      watcher();
    });
  }

  /** Whether a head or a body may have come to its end. All of a long body is not looked at again for each part of it. */
  #endsSomething(chunk: string): boolean {
    const seen = this.#last + chunk;
    this.#last = seen.slice(-3);
    const request = this.#current;
    if (!request || request.header('transfer-encoding') !== undefined) return seen.includes('\r\n\r\n');
    return bodyLength(request, this.#rest) !== null;
  }

  #parse(): void {
    while (!this.#upgraded) {
      const rest = this.#rest;
      if (!this.#current) {
        const end = rest.indexOf('\r\n\r\n');
        if (end < 0) return;
        const head = rest.slice(0, end + 4);
        this.#rest = rest.slice(head.length);
        this.#current = new ReceivedRequest(head, this);
        this.#upgraded = this.#current.header('upgrade') !== undefined;
        this.#onRequest(this.#current);
        continue;
      }
      const length = bodyLength(this.#current, rest);
      if (length === null) return;
      this.#rest = rest.slice(length);
      const request = this.#current;
      this.#current = null;
      request.finish(rest.slice(0, length));
    }
  }
}

/** The bytes that the body takes; null when it has not arrived whole. */
function bodyLength(request: ReceivedRequest, text: string): number | null {
  if (request.header('transfer-encoding') !== undefined) {
    const end = /(?:^|\r\n)0\r\n(?:[^\r\n]+\r\n)*\r\n/.exec(text);
    return end ? end.index + end[0].length : null;
  }
  const length = Number(request.header('content-length') ?? 0);
  return text.length >= length ? length : null;
}

/** One request as the proxy sent it. */
export class ReceivedRequest {
  /** Request line and fields with all line ends. */
  readonly head: string;
  readonly connection: UpstreamConnection;
  /** The body as it was sent, chunk framing included. Resolves when it is complete. */
  readonly body: Promise<string>;
  /** Names and values in turn, as received. */
  readonly fields: readonly string[];
  readonly #finish: (body: string) => void;

  constructor(head: string, connection: UpstreamConnection) {
    this.head = head;
    this.connection = connection;
    const { promise, resolve } = Promise.withResolvers<string>();
    this.body = promise;
    this.#finish = resolve;
    this.fields = head
      .split('\r\n')
      .slice(1, -2)
      .flatMap((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()]);
  }

  /** `GET /path HTTP/1.1` */
  get line(): string {
    return this.head.slice(0, this.head.indexOf('\r\n'));
  }

  get path(): string {
    return this.line.split(' ')[1] ?? '';
  }

  /** The values of a field, joined by a comma; undefined when it is not there. */
  header(name: string): string | undefined {
    const values = this.fields.filter((_, i) => i % 2 === 1 && this.fields[i - 1]?.toLowerCase() === name);
    return values.length === 0 ? undefined : values.join(', ');
  }

  /** The names of its fields, lower case, in order. */
  get names(): string[] {
    return this.fields.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase());
  }

  /** Writes raw text, byte for byte. */
  reply(text: string): void {
    this.connection.socket.write(text, 'latin1');
  }

  finish(body: string): void {
    this.#finish(body);
  }
}

/** A whole response with a body of known length. */
export function response(body = 'ok', fields: readonly string[] = [], status = '200 OK'): string {
  const lines = [`HTTP/1.1 ${status}`, `Content-Length: ${Buffer.byteLength(body)}`, ...fields];
  return `${lines.join('\r\n')}\r\n\r\n${body}`;
}

/** Starts an upstream on a free port of loopback; it ends with the test. */
export async function startUpstream(
  t: Pick<TestContext, 'after'>,
  script: Script = () => response(),
  options: { port?: number; allowHalfOpen?: boolean } = {},
): Promise<RecordingUpstream> {
  const server = createServer({ allowHalfOpen: options.allowHalfOpen ?? false });
  await once(server.listen(options.port ?? 0, '127.0.0.1'), 'listening');
  const upstream = new RecordingUpstream(server, script);
  t.after(() => upstream.close());
  return upstream;
}

/**
 * A port of loopback on which nobody listens, nor will: below the range from which the system gives ports to those who ask for any
 * (32768 and up on Linux), other tests that run at the same time among them.
 */
export async function unusedPort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const server = createServer();
    const bound = await once(server.listen(port, '127.0.0.1'), 'listening').catch(() => null);
    if (!bound) continue;
    server.close();
    await once(server, 'close');
    return port;
  }
}
