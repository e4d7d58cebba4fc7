import { once } from 'node:events';
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type ClientSessionOptions,
  connect,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type SecureClientSessionOptions,
} from 'node:http2';
import type { TestContext } from 'node:test';

export interface Http2Response {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Names and values in turn, as received. */
  readonly fields: readonly string[];
  readonly body: string;
  readonly trailers: IncomingHttpHeaders | null;
  readonly interim: readonly IncomingHttpHeaders[];
  /** The code of RST_STREAM (RFC 9113 §7); 0 when the stream ended by itself. */
  readonly reset: number;
  /** Whether the body came to its end. */
  readonly complete: boolean;
}

export class Http2Client {
  readonly session: ClientHttp2Session;
  /** Resolves when the session is over, with the code of GOAWAY if there was one. */
  readonly closed: Promise<number | null>;

  constructor(session: ClientHttp2Session) {
    this.session = session;
    let goaway: number | null = null;
    session.on('error', () => {});
    session.on('goaway', (code) => {
      goaway = code;
    });
    this.closed = new Promise((resolve) => session.once('close', () => resolve(goaway)));
  }

  /** Opens a stream; the host is `app.test` unless told otherwise. */
  open(headers: OutgoingHttpHeaders = {}, options: { endStream?: boolean } = {}): ClientHttp2Stream {
    const stream = this.session.request({ ':authority': 'app.test', ...headers }, options);
    stream.on('error', () => {});
    return stream;
  }

  /** Sends a whole request and reads the whole response. */
  request(headers: OutgoingHttpHeaders = {}, body?: string | Buffer): Promise<Http2Response> {
    const stream = this.open(headers, { endStream: body === undefined });
    if (body !== undefined) stream.end(body);
    return readResponse(stream);
  }
}

/** Reads the response of a stream to its end, whatever that is. */
export function readResponse(stream: ClientHttp2Stream): Promise<Http2Response> {
  const interim: IncomingHttpHeaders[] = [];
  let headers: IncomingHttpHeaders = {};
  let fields: string[] = [];
  let trailers: IncomingHttpHeaders | null = null;
  let body = '';
  let complete = false;
  stream.setEncoding('latin1');
  stream.on('headers', (received) => interim.push(received));
  stream.on('response', (received, _flags, raw?: string[]) => {
    headers = received;
    fields = raw ?? [];
  });
  stream.on('trailers', (received) => {
    trailers = received;
  });
  stream.on('data', (chunk: string) => {
    body += chunk;
  });
  stream.on('end', () => {
    complete = true;
  });
  return new Promise((resolve) => {
    stream.once('close', () => {
      const status = Number(headers[':status'] ?? 0);
      const reset = stream.rstCode ?? 0;
      resolve({ status, headers, fields, body, trailers, interim, reset, complete: complete && reset === 0 });
    });
  });
}

/** Connects to a front door, speaking HTTP/2; the session ends with the test. */
export async function connectHttp2(
  t: Pick<TestContext, 'after'>,
  door: { readonly port: number; readonly ca: string },
  options: ClientSessionOptions | SecureClientSessionOptions = {},
): Promise<Http2Client> {
  const session = connect(`https://127.0.0.1:${door.port}`, { ca: door.ca, servername: 'app.test', ...options });
  const client = new Http2Client(session);
  t.after(() => session.destroy());
  await once(session, 'remoteSettings');
  return client;
}
