import { once } from 'node:events';
import type { TestContext } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';

/** A response as it stood on the wire. */
export interface RawResponse {
  readonly status: number;
  /** Status line and fields with all line ends. */
  readonly head: string;
  /** Names and values in turn. */
  readonly fields: readonly string[];
  /** Decoded from its framing, one character for each byte. */
  readonly body: string;
  readonly trailers: readonly string[];
  /** Interim responses before it. */
  readonly interim: readonly RawResponse[];
}

/** The values of a field, in order. */
export function valuesOfField({ fields }: Pick<RawResponse, 'fields'>, name: string): string[] {
  return fields.filter((_, i) => i % 2 === 1 && fields[i - 1]?.toLowerCase() === name);
}

/** A TLS client that writes exact bytes and takes responses apart by itself. */
export class RawClient {
  readonly socket: TLSSocket;
  /** Resolves when the connection is gone. `error`: the system's code when it was cut rather than closed. */
  readonly closed: Promise<{ readonly error: string | null }>;
  #text = '';
  /** What of it was not asked for yet. */
  #rest = '';
  #ended = false;
  readonly #watchers = new Set<() => void>();

  constructor(socket: TLSSocket) {
    this.socket = socket;
    let error: string | null = null;
    socket.on('error', (problem: Error & { code?: string }) => {
      error = problem.code ?? problem.message;
    });
    socket.setEncoding('latin1');
    socket.on('data', (chunk: string) => {
      this.#text += chunk;
      this.#rest += chunk;
      this.#notify();
    });
    socket.on('end', () => this.#end());
    this.closed = new Promise((resolve) =>
      socket.once('close', () => {
        this.#end();
        resolve({ error });
      }),
    );
  }

  /** Everything that was received. */
  get text(): string {
    return this.#text;
  }

  send(text: string | Buffer): this {
    this.socket.write(text as string, 'latin1');
    return this;
  }

  /** Resolves when what was received holds a text; rejects when the connection ends without. */
  async until(text: string): Promise<void> {
    await this.#wait(() => this.#text.includes(text) || null);
  }

  /** The next response. @param method decides whether a body follows */
  response(method = 'GET'): Promise<RawResponse> {
    return this.#wait(() => {
      const parsed = parse(this.#rest, method, this.#ended);
      if (!parsed) return null;
      this.#rest = this.#rest.slice(parsed.length);
      return parsed.response;
    });
  }

  /** Sends a request and waits for its response. */
  request(text: string): Promise<RawResponse> {
    return this.send(text).response(text.slice(0, text.indexOf(' ')));
  }

  /** Whether everything received was part of a response that was asked for. */
  get drained(): boolean {
    return this.#rest === '';
  }

  destroy(): void {
    this.socket.destroy();
  }

  #end(): void {
    this.#ended = true;
    this.#notify();
  }

  #notify(): void {
    for (const watcher of [...this.#watchers]) watcher();
  }

  #wait<T>(look: () => T | null): Promise<T> {
    return new Promise((resolve, reject) => {
      const watcher = () => {
        const found = look();
        if (found === null && !this.#ended) return;
        this.#watchers.delete(watcher);
        if (found === null) reject(new Error(`ended after ${JSON.stringify(this.#rest)}`));
        else resolve(found);
      };
      this.#watchers.add(watcher);
      watcher();
    });
  }
}

function parse(text: string, method: string, ended: boolean): { response: RawResponse; length: number } | null {
  const interim: RawResponse[] = [];
  let at = 0;
  for (;;) {
    const end = text.indexOf('\r\n\r\n', at);
    if (end < 0) return null;
    const head = text.slice(at, end + 4);
    at = end + 4;
    const fields = fieldsOf(head.split('\r\n').slice(1, -2));
    const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(head)?.[1]);
    if (status < 200 && status !== 101) {
      interim.push({ status, head, fields, body: '', trailers: [], interim: [] });
      continue;
    }
    const rest = text.slice(at);
    const body = status < 200 || status === 204 || status === 304 || method === 'HEAD' ? empty : readBody(fields, rest);
    const complete = body === 'until-end' ? (ended ? { body: rest, trailers: [], length: rest.length } : null) : body;
    if (!complete) return null;
    const { length, ...content } = complete;
    return { response: { status, head, fields, ...content, interim }, length: at + length };
  }
}

const empty = { body: '', trailers: [] as string[], length: 0 };

function readBody(fields: readonly string[], text: string): typeof empty | 'until-end' | null {
  const [length] = valuesOfField({ fields }, 'content-length');
  if (length !== undefined) {
    const size = Number(length);
    return text.length < size ? null : { body: text.slice(0, size), trailers: [], length: size };
  }
  if (valuesOfField({ fields }, 'transfer-encoding').length === 0) return 'until-end';
  let at = 0;
  let body = '';
  for (;;) {
    const lineEnd = text.indexOf('\r\n', at);
    if (lineEnd < 0) return null;
    const size = Number.parseInt(text.slice(at, lineEnd), 16);
    if (size === 0) {
      const end = text.indexOf('\r\n\r\n', lineEnd);
      if (end < 0) return null;
      return {
        body,
        trailers: fieldsOf(
          text
            .slice(lineEnd + 2, end)
            .split('\r\n')
            .filter(Boolean),
        ),
        length: end + 4,
      };
    }
    if (text.length < lineEnd + 2 + size + 2) return null;
    body += text.slice(lineEnd + 2, lineEnd + 2 + size);
    at = lineEnd + 2 + size + 2;
  }
}

function fieldsOf(lines: readonly string[]): string[] {
  return lines.flatMap((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()]);
}

/** Connects to a front door, speaking HTTP/1.1; the connection ends with the test. */
export async function connectRaw(
  t: Pick<TestContext, 'after'>,
  door: { readonly port: number; readonly ca: string },
  options: { readonly servername?: string; readonly host?: string } = {},
): Promise<RawClient> {
  const { servername = 'app.test', host = '127.0.0.1' } = options;
  const socket = connect({ host, port: door.port, ca: door.ca, servername, ALPNProtocols: ['http/1.1'] });
  await once(socket, 'secureConnect');
  t.after(() => socket.destroy());
  return new RawClient(socket);
}
