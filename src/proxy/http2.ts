import { performServerHandshake, type ServerHttp2Stream } from 'node:http2';
import type { TLSSocket } from 'node:tls';
import type { Connection } from '../connections/index.ts';
import { StreamBody } from './body.ts';
import type { RequestHandler } from './handler.ts';
import { Http2Drain } from './http2-drain.ts';
import { type Http2Line, Http2Responder } from './http2-responder.ts';
import type { RequestHead } from './request.ts';

export interface Http2Options {
  /** Streams one connection may have open at once. */
  readonly maxConcurrentStreams: number;
  /** Bytes the head of a request may have. */
  readonly maxHeaderSize: number;
  /** Milliseconds a connection may stay idle. */
  readonly idleTimeout: number;
}

/**
 * Bytes that all uploads of one connection may have under way (RFC 9113 §6.9.2); 64 KiB, the default, throttles a single one. The larger
 * it is, the more often a session of Node 24 gets stuck when its client vanishes in the middle of many uploads.
 */
const connectionWindow = 256 * 1024;

/** Speaks HTTP/2 on connections that were accepted elsewhere. */
export class Http2 {
  readonly #handler: RequestHandler;
  readonly #options: Http2Options;

  constructor(handler: RequestHandler, options: Http2Options) {
    this.#handler = handler;
    this.#options = options;
  }

  /** Takes over a connection. */
  serve(connection: Connection, socket: TLSSocket): void {
    const session = performServerHandshake(socket, {
      maxSessionMemory: 16,
      maxHeaderListPairs: 200,
      maxOutstandingPings: 10,
      maxSendHeaderBlockLength: 256 * 1024,
      streamResetBurst: 200,
      streamResetRate: 33,
      // What the upstream repeats is passed on as it is.
      strictSingleValueFields: false,
      settings: {
        maxConcurrentStreams: this.#options.maxConcurrentStreams,
        maxHeaderListSize: this.#options.maxHeaderSize,
        initialWindowSize: 256 * 1024,
        enableConnectProtocol: false,
      },
    });
    connection.protocol = 'h2';
    const drain = new Http2Drain(session);
    const line: Http2Line = { connection, drain, unanswered: 0 };
    connection.handler = drain;
    session.setLocalWindowSize(connectionWindow);
    session.on('error', () => {});
    session.setTimeout(this.#options.idleTimeout);
    session.on('timeout', () => {
      if (connection.idleSince !== null) session.close();
      // Every answer was given up or written, and no stream ends: the session is stuck.
      else if (line.unanswered === 0) connection.destroy();
      // A response that takes its time is not an idle connection.
      else session.setTimeout(this.#options.idleTimeout);
    });
    session.on('stream', (stream, _headers, _flags, rawHeaders) => this.#stream(line, stream, rawHeaders));
  }

  #stream(line: Http2Line, stream: ServerHttp2Stream, rawHeaders: string[]): void {
    const responder = new Http2Responder(stream, line);
    const head = headOf(stream, rawHeaders);
    const ended = () => stream.state.remoteClose === 1;
    const body = head.hasBody ? new StreamBody(stream, this.#options.idleTimeout, ended) : null;
    this.#handler.handle(line.connection, head, body, responder);
  }
}

function headOf(stream: ServerHttp2Stream, rawHeaders: readonly string[]): RequestHead {
  const headers: string[] = [];
  let method = 'GET';
  let target = '/';
  let authority: string | undefined;
  let length: string | undefined;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string;
    const value = rawHeaders[i + 1] as string;
    switch (name) {
      case ':method':
        method = value;
        break;
      case ':path':
        target = value;
        break;
      case ':authority':
        authority = value;
        break;
      case 'content-length':
        length = value;
        headers.push(name, value);
        break;
      default:
        if (!name.startsWith(':')) headers.push(name, value);
    }
  }
  const hasBody = !stream.endAfterHeaders && length !== '0';
  const head = { method, target, version: '2.0', headers, hasBody } as const;
  return authority === undefined ? head : { ...head, authority };
}
