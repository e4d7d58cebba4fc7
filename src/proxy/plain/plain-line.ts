import type { TLSSocket } from 'node:tls';
import type { Connection, ProtocolHandler } from '../../connections/index.ts';
import {
  chunkHead,
  chunkTail,
  lastChunk,
  notPlain,
  type PlainFields,
  type PlainRequest,
  partial,
  readRequest,
} from '../../http1/index.ts';
import type { Sweepable } from '../../upstream/index.ts';
import { lingering } from '../body.ts';
import { endPolitely, refusalText } from '../last-words.ts';
import type { FieldMemo } from '../request.ts';
import type { Answerer, Responder } from '../responder.ts';
import type { LineContext } from './line-context.ts';
import { Outbox } from './outbox.ts';
import { Parting } from './parting.ts';
import { type BodyFeeder, PlainBody } from './plain-body.ts';
import { interimText, responseText } from './response-text.ts';

/** Milliseconds after which an idle connection forgets its last request. */
const forgetting = 1000;

/** Pieces in which the head of a request may come; who sends it in more is served by a parser that need not begin again with each. */
const maxPieces = 8;
/** Octets that are kept of what comes behind a request that is being answered. */
const readAhead = 64 * 1024;

/**
 * One HTTP/1.1 connection as long as its requests are plain: one after another, straight from the TLS socket. What is not plain is handed over, with the
 * connection, octet for octet.
 *
 *   reading ─ plain head ─▶ answering ─ end, and the body is complete ─▶ reading
 *      └─ any other head ─▶ handed over
 */
export class PlainLine implements Responder, ProtocolHandler, BodyFeeder, Sweepable {
  readonly connection: Connection;
  readonly socket: TLSSocket;
  readonly #context: LineContext;
  readonly #outbox: Outbox;
  #answerer: Answerer | null = null;
  #answering = false;
  #request: PlainRequest | null = null;
  #body: PlainBody | null = null;
  /** The fields of the last request, and what was made of them. */
  #fields: PlainFields | null = null;
  #memo: FieldMemo = { read: null, sent: null };
  #chunked = false;
  /** The answer that is being written is the last one. */
  #last = false;
  /** Received and not used. */
  #rest: Buffer | null = null;
  #pieces = 0;
  #requests = 0;
  #reading = false;
  #over = false;
  /** The last answer was given. */
  #parting: Parting | null = null;
  /** Something came since the last look. */
  #moved = true;
  #quietSince = 0;

  constructor(connection: Connection, socket: TLSSocket, context: LineContext) {
    this.connection = connection;
    this.socket = socket;
    this.#context = context;
    this.#outbox = new Outbox(socket);
  }

  ask(): void {}

  close(): void {
    this.socket.end();
  }

  /** Takes what the client sent. @param chunk lent: it changes after the call */
  read(chunk: Buffer): void {
    if (this.#over) return;
    // A head does not get more time by coming in pieces.
    if (!this.#rest || this.#answering) this.#moved = true;
    this.#rest = this.#rest ? Buffer.concat([this.#rest, chunk]) : chunk;
    if (this.#body && !this.#body.complete) this.feed();
    else if (!this.#answering) this.#next();
    // Up to there it is read on, because a client that leaves is missed only while it is read.
    else if (this.#rest.length >= readAhead) this.socket.pause();
    if (this.#rest?.buffer === chunk.buffer) this.#rest = Buffer.from(this.#rest);
  }

  /** The client sends no more, or is gone. */
  gone(): void {
    if (this.#over) return;
    this.#over = true;
    this.#rest = null;
    const answering = this.#answering;
    this.#answering = false;
    this.#body?.gone();
    if (answering) this.#answerer?.onAbort();
    this.#answerer = null;
    if (!answering) return;
    this.connection.end();
    this.socket.destroy();
  }

  /** The connection is over. */
  closed(): void {
    this.#context.lines.delete(this);
    this.gone();
  }

  drained(): void {
    this.#answerer?.onDrain();
  }

  check(now: number): void {
    if (this.#parting) this.#parting.check(now);
    if (this.#over) return;
    if (this.#moved) {
      this.#moved = false;
      this.#quietSince = now;
      return;
    }
    const quiet = now - this.#quietSince;
    const { headersTimeout, idleTimeout } = this.#context;
    if (this.#body && !this.#body.complete) {
      if (this.#body.discarding) {
        if (!this.#answering && quiet >= lingering) this.socket.destroy();
      } else if (this.#body.hungry && quiet >= idleTimeout) this.#body.stalled();
    } else if (this.#answering) this.#quietSince = now;
    else if (this.#fields && quiet >= forgetting) this.#forget();
    else if (this.#rest || this.#requests === 0) {
      if (quiet >= headersTimeout) this.#tooSlow();
    } else if (quiet >= idleTimeout) this.#end();
  }

  get waiting(): Buffer | null {
    return this.#rest;
  }

  /** Gives the body what is there. */
  feed(): void {
    const body = this.#body;
    if (!body || this.#over) return;
    this.#moved = true;
    while (this.#rest && body.hungry) {
      const bytes = this.#rest;
      this.#rest = null;
      const used = body.take(bytes);
      if (used < bytes.length) this.#rest = bytes.subarray(used);
    }
    if (body.broken) {
      this.#last = true;
      if (this.#answering) this.socket.pause();
      // The answer was out before; where another request begins is not known.
      else if (!this.#over) this.#end();
    } else if (!body.complete && body.hungry) this.socket.resume();
    else if (!body.complete) this.socket.pause();
    else if (!this.#answering) this.#next();
  }

  hold(): void {
    this.socket.pause();
  }

  attach(answerer: Answerer): void {
    this.#answerer = answerer;
  }

  // Who waits for it is not plain.
  continue(): void {}

  inform(status: number, headers: string[]): void {
    if (!this.#answering || status === 101) return;
    this.#outbox.text(interimText(status, headers));
    this.#outbox.send();
  }

  head(status: number, headers: string[]): void {
    if (!this.#answering) return;
    const close = this.#last || this.connection.last || this.#request?.fields.close === true;
    const method = this.#request?.method ?? '';
    const head = responseText(method, status, headers, close, this.#context.keepAlive);
    this.#chunked = head.chunked;
    this.#last = head.close;
    this.#outbox.text(head.text);
  }

  write(chunk: Buffer): boolean {
    if (!this.#answering) return true;
    const outbox = this.#outbox;
    if (!this.#chunked) outbox.bytes(chunk);
    else if (chunk.length > 0) {
      outbox.text(chunkHead(chunk.length));
      outbox.bytes(chunk);
      outbox.text(chunkTail);
    }
    return outbox.hasRoom;
  }

  flush(): void {
    this.#outbox.send();
  }

  end(trailers: string[]): void {
    if (!this.#answering) return;
    if (this.#chunked) this.#outbox.text(lastChunk(trailers));
    this.#outbox.send();
    this.#answering = false;
    this.#answerer = null;
    this.#quietSince = 0;
    this.#moved = true;
    this.connection.end();
    if (this.#last || this.#body?.broken) this.#end();
    else if (!this.#body || this.#body.complete) this.#next();
    else this.#body.discard();
  }

  cut(): void {
    this.socket.destroy();
  }

  /** Reads on: as long as requests are there and one is not being answered. */
  #next(): void {
    if (this.#reading) return;
    this.#reading = true;
    while (this.#rest && !this.#answering && !this.#over && (!this.#body || this.#body.complete)) {
      this.#body = null;
      if (!this.#begin(this.#rest)) break;
    }
    this.#reading = false;
    if (!this.#answering && !this.#over && this.socket.isPaused()) this.socket.resume();
  }

  /** @returns whether a request began */
  #begin(bytes: Buffer): boolean {
    const request = readRequest(bytes, this.#fields);
    if (request === partial && bytes.length < this.#context.maxHeaderSize && this.#pieces < maxPieces) {
      this.#pieces += 1;
      return false;
    }
    if (request === partial || request === notPlain || request.end > this.#context.maxHeaderSize) {
      this.#over = true;
      this.#context.handOver(this, Buffer.from(bytes));
      return false;
    }
    this.#pieces = 0;
    this.#requests += 1;
    this.#request = request;
    this.#rest = request.end < bytes.length ? bytes.subarray(request.end) : null;
    const { fields } = request;
    if (fields !== this.#fields) {
      this.#fields = fields;
      this.#memo = { read: null, sent: null };
    }
    this.#body = fields.length === 0 ? null : new PlainBody(this, fields.length);
    this.#answering = true;
    this.#last = false;
    this.connection.begin();
    const { method, target } = request;
    const { headers } = fields;
    const head = { method, target, version: '1.1', headers, hasBody: this.#body !== null, memo: this.#memo } as const;
    this.#context.handler.handle(this.connection, head, this.#body, this);
    return true;
  }

  /** Thousands of idle connections should not hold what they may never need again. */
  #forget(): void {
    this.#request = null;
    this.#fields = null;
    this.#memo = { read: null, sent: null };
  }

  #tooSlow(): void {
    this.#over = true;
    this.#context.handler.refused(408);
    endPolitely(this.socket, refusalText(408, 'REQUEST_MALFORMED', 'Request Timeout'));
  }

  #end(): void {
    this.#over = true;
    this.#rest = null;
    this.#parting = new Parting(this.socket);
  }
}
