import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { stir } from './quiet.ts';

/** A request as it went upstream: whole, with its framing undone. */
export interface SeenRequest {
  readonly line: string;
  /** `name: value` as sent, in order; without what frames the body, and without the value of the request id. */
  readonly fields: readonly string[];
  /** Null when nothing says that there is one. */
  readonly body: string | null;
}

const name = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const lineSyntax = /^[A-Z-]+ \/[\x21\x22\x24-\x7e]* HTTP\/1\.1$/;
const fieldSyntax = new RegExp(`^${name}: [\\t\\x20-\\x7e\\x80-\\xff]*$`);

/**
 * An upstream that takes requests apart by a grammar of its own, without mercy: what stands there in any other way is remembered as
 * `malformed`. It answers with what it understood, in a way that the path of the request chooses.
 */
export class StrictUpstream {
  readonly url: string;
  readonly malformed: string[] = [];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #seen: SeenRequest[] = [];

  constructor(server: Server) {
    this.#server = server;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on('connection', (socket: Socket) => this.#accept(socket));
  }

  /** The requests that were completed since the last call. */
  take(): SeenRequest[] {
    const seen = this.#seen;
    this.#seen = [];
    return seen;
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    socket.setNoDelay(true);
    let text = '';
    let answered = false;
    socket.setEncoding('latin1');
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#sockets.delete(socket);
      stir();
    });
    socket.on('data', (chunk: string) => {
      stir();
      text += chunk;
      for (;;) {
        const request = parse(text, (problem) => this.malformed.push(`${problem}: ${JSON.stringify(text)}`));
        if (!request || (request.end === null && !request.line.includes(' /early'))) return;
        if (!answered) socket.write(answerTo(request), 'latin1');
        answered = request.end === null;
        if (request.end === null) return;
        const { line, fields, body } = request;
        this.#seen.push({ line, fields, body });
        text = text.slice(request.end);
        if (line.includes(' /until-close')) socket.end();
      }
    });
  }
}

type Parsed = SeenRequest & { readonly end: number | null };

/** @returns null while the head is not complete; `end` is null while the body is not */
function parse(text: string, malformed: (problem: string) => void): Parsed | null {
  const head = text.indexOf('\r\n\r\n');
  if (head < 0) return null;
  const [line = '', ...all] = text.slice(0, head).split('\r\n');
  if (!lineSyntax.test(line)) malformed('the request line');
  for (const field of all) if (!fieldSyntax.test(field)) malformed(`the field ${field}`);
  const lengths = valuesOf(all, 'content-length');
  const encodings = valuesOf(all, 'transfer-encoding');
  if (lengths.length + encodings.length > 1 || valuesOf(all, 'host').length !== 1) malformed('the framing or Host');
  const fields = all
    .filter((field) => !/^(content-length|transfer-encoding):/i.test(field))
    .map((field) => field.replace(/^x-request-id: [0-9a-f-]{36}$/, 'x-request-id: …'));
  const from = head + 4;
  if (encodings.length > 0) return { line, fields, ...readChunks(text, from, malformed) };
  const [length] = lengths;
  if (length === undefined) return { line, fields, body: null, end: from };
  if (!/^\d+$/.test(length)) malformed('the length');
  const end = from + Number.parseInt(length, 10);
  return text.length < end ? { line, fields, body: '', end: null } : { line, fields, body: text.slice(from, end), end };
}

function readChunks(
  text: string,
  from: number,
  malformed: (problem: string) => void,
): { body: string; end: number | null } {
  let body = '';
  for (let at = from; ; ) {
    const end = text.indexOf('\r\n', at);
    if (end < 0) return { body, end: null };
    const size = text.slice(at, end);
    if (!/^[0-9a-f]{1,8}$/.test(size)) {
      malformed('a chunk size');
      return { body, end: null };
    }
    const data = end + 2;
    const length = Number.parseInt(size, 16);
    if (text.length < data + length + 2) return { body, end: null };
    if (text.slice(data + length, data + length + 2) !== '\r\n') malformed('the end of a chunk');
    if (length === 0) return { body, end: data + 2 };
    body += text.slice(data, data + length);
    at = data + length + 2;
  }
}

function valuesOf(fields: readonly string[], wanted: string): string[] {
  const prefix = `${wanted}: `;
  return fields.filter((field) => field.toLowerCase().startsWith(prefix)).map((field) => field.slice(prefix.length));
}

function answerTo({ line, body }: Parsed): string {
  const [method = '', path = ''] = line.split(' ');
  const text = `${method} ${path.slice(0, 40)} ${path.startsWith('/early') ? 'early' : (body?.length ?? 'none')}`;
  // Tells whoever reads the answers whether a body follows.
  const fields = `X-Method: ${method}\r\nSet-Cookie: a\r\nset-cookie: b\r\n`;
  const noBody = method === 'HEAD';
  if (path.startsWith('/no-content')) return `HTTP/1.1 204 No Content\r\n${fields}\r\n`;
  if (path.startsWith('/until-close'))
    return `HTTP/1.1 200 OK\r\n${fields}Connection: close\r\n\r\n${noBody ? '' : text}`;
  if (path.startsWith('/chunked')) {
    const chunks = `${text.length.toString(16)}\r\n${text}\r\n0\r\nX-Sum: 1\r\n\r\n`;
    return `HTTP/1.1 200 OK\r\n${fields}Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n${noBody ? '' : chunks}`;
  }
  return `HTTP/1.1 200 OK\r\n${fields}Content-Length: ${text.length}\r\n\r\n${noBody ? '' : text}`;
}

/** Starts one on a free port of loopback; it ends with the test. */
export async function startStrictUpstream(t: Pick<TestContext, 'after'>): Promise<StrictUpstream> {
  const server = createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const upstream = new StrictUpstream(server);
  t.after(() => upstream.close());
  return upstream;
}
