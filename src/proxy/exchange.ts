import type { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import { catalogue, type ErrorCode, systemCode } from '../errors.ts';
import type { Logger, Metrics } from '../observe/index.ts';
import { noteConnection, type Target, type Upstream } from '../upstream/index.ts';
import { RequestBody } from './body.ts';
import type { Forward } from './decide.ts';
import { decodeFields, responseHeaders } from './headers.ts';

/** How an answer reaches a client; one implementation for each HTTP version. */
export interface Responder {
  /** Called when the client can take more. */
  onDrain: () => void;
  /** Called when the client went away before the answer was complete. */
  onAbort: () => void;
  continue(): void;
  /** An interim response (RFC 9110 §15.2). */
  inform(status: number, headers: string[]): void;
  head(status: number, headers: string[]): void;
  /** @returns false when the client cannot take more for now */
  write(chunk: Buffer): boolean;
  /** @param trailers names and values in turn */
  end(trailers: string[]): void;
  /** Ends it so that the client sees that it is incomplete. */
  cut(): void;
}

/** What every exchange shares. */
export interface ExchangeContext {
  readonly metrics: Metrics;
  readonly logger: Logger;
}

/** What is told of a request when it is over. */
export interface Outcome {
  readonly status: number;
  readonly bytes: number;
  readonly error: ErrorCode | null;
}

const idempotent = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE']);
const neverConnected = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'UND_ERR_CONNECT_TIMEOUT',
]);

/** One request and its answer: upstream as undici sends it, back as the responder writes it. */
export class Exchange implements Dispatcher.DispatchHandler {
  readonly #forward: Forward;
  readonly #upstream: Upstream;
  readonly #responder: Responder;
  readonly #context: ExchangeContext;
  readonly #body: RequestBody | null;
  readonly #done: (outcome: Outcome) => void;
  readonly #tried = new Set<Target>();
  readonly #connection = { reused: false };
  #target: Target | null = null;
  #controller: Dispatcher.DispatchController | null = null;
  #sentAt = 0;
  #status = 0;
  #bytes = 0;
  #retried = false;
  #aborted = false;
  #finished = false;

  /** @param done called once, when the exchange is over */
  constructor(
    forward: Forward,
    upstream: Upstream,
    body: Readable | null,
    responder: Responder,
    context: ExchangeContext,
    done: (outcome: Outcome) => void,
  ) {
    this.#forward = forward;
    this.#upstream = upstream;
    this.#responder = responder;
    this.#context = context;
    this.#body = body && forward.hasBody ? new RequestBody(body) : null;
    // Its errors reach us by way of undici; a body that nobody reads any more must not end the process.
    this.#body?.on('error', () => {});
    this.#done = done;
    responder.onAbort = () => this.#abort();
    responder.onDrain = () => this.#controller?.resume();
  }

  /** Sends the request. */
  start(): void {
    const target = this.#upstream.pick(this.#tried);
    if (!target) {
      this.#fail('UPSTREAM_UNREACHABLE');
      return;
    }
    this.#tried.add(target);
    this.#target = target;
    const { method, path, headers } = this.#forward;
    this.#sentAt = performance.now();
    try {
      const options = { method: method as Dispatcher.HttpMethod, path, headers: headers as string[], body: this.#body };
      target.dispatch(options, this);
    } catch {
      // Undici holds something in the head to be invalid that got past us.
      this.#fail('REQUEST_MALFORMED');
    }
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#target) this.#upstream.connected(this.#target, true);
    if (this.#aborted) {
      controller.abort(new Error('the client went away'));
      return;
    }
    noteConnection(this.#connection);
    // Only now: a body should not be asked for before there is somebody to take it.
    if (this.#forward.expectsContinue && !this.#retried) this.#responder.continue();
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number): void {
    const headers = responseHeaders(decodeFields((controller as { rawHeaders?: unknown }).rawHeaders));
    if (status < 200) {
      if (status !== 101) this.#responder.inform(status, headers);
      return;
    }
    const upstream = this.#upstream.name;
    this.#context.metrics.upstreamRequests.inc({ upstream, result: 'success' });
    this.#context.metrics.upstreamRequestDuration.observe({ upstream }, (performance.now() - this.#sentAt) / 1000);
    this.#status = status;
    headers.push('x-request-id', this.#forward.requestId);
    this.#responder.head(status, headers);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#bytes += chunk.length;
    if (!this.#responder.write(chunk)) controller.pause();
  }

  onResponseEnd(controller: Dispatcher.DispatchController): void {
    this.#finish(null);
    this.#responder.end(decodeFields((controller as { rawTrailers?: unknown }).rawTrailers));
  }

  onResponseError(_controller: Dispatcher.DispatchController | null, error: Error): void {
    if (this.#finished) return;
    if (this.#aborted) {
      this.#context.metrics.upstreamRequests.inc({ upstream: this.#upstream.name, result: 'aborted' });
      this.#finish(null);
      return;
    }
    const code = codeOf(error);
    if (this.#status !== 0) {
      this.#context.metrics.upstreamRequests.inc({ upstream: this.#upstream.name, result: 'cut' });
      this.#log(code, error, 'the upstream cut its response');
      this.#finish(code);
      this.#responder.cut();
      return;
    }
    if (code === 'UPSTREAM_UNREACHABLE' && this.#target) this.#upstream.connected(this.#target, false);
    if (this.#mayRetry(code)) {
      this.#retried = true;
      this.start();
      return;
    }
    this.#log(code, error, catalogue[code].summary);
    this.#fail(code);
  }

  /**
   * A target that was never reached may be passed over for the next, whatever the request. A request that was sent is sent
   * again only once, when that can do no harm (RFC 9110 §9.2.2), and only because a kept-alive connection closed under it.
   */
  #mayRetry(code: ErrorCode): boolean {
    if (this.#body?.started) return false;
    if (code === 'UPSTREAM_UNREACHABLE') return this.#tried.size < this.#upstream.targets.length;
    const harmless = idempotent.has(this.#forward.method) && this.#body === null;
    if (code !== 'UPSTREAM_CLOSED' || !harmless || !this.#connection.reused || this.#retried) return false;
    this.#tried.clear();
    return true;
  }

  #fail(code: ErrorCode): void {
    this.#context.metrics.upstreamRequests.inc({ upstream: this.#upstream.name, result: 'error' });
    const status = code === 'UPSTREAM_TIMEOUT' ? 504 : code === 'REQUEST_MALFORMED' ? 400 : 502;
    this.#status = status;
    this.#body?.destroy();
    this.#finish(code);
    answer(this.#responder, status, code, this.#forward.requestId);
  }

  #abort(): void {
    if (this.#finished || this.#aborted) return;
    this.#aborted = true;
    this.#body?.destroy();
    if (this.#controller) this.#controller.abort(new Error('the client went away'));
    // Not sent yet: it is aborted as soon as it starts; nobody waits for it any more.
    else this.#finish(null);
  }

  #finish(error: ErrorCode | null): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#done({ status: this.#aborted && this.#status === 0 ? 499 : this.#status, bytes: this.#bytes, error });
  }

  #log(code: ErrorCode, error: Error, message: string): void {
    const { remedy } = catalogue[code];
    const line = { code, upstream: this.#upstream.name, target: this.#target?.url.host, error: error.message, remedy };
    this.#context.logger.warn({ ...line, requestId: this.#forward.requestId }, message);
  }
}

function codeOf(error: Error): ErrorCode {
  const code = systemCode(error) ?? '';
  if (neverConnected.has(code)) return 'UPSTREAM_UNREACHABLE';
  if (code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT' || code === 'ETIMEDOUT')
    return 'UPSTREAM_TIMEOUT';
  if (
    code.startsWith('HPE_') ||
    code === 'UND_ERR_HEADERS_OVERFLOW' ||
    code === 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH'
  ) {
    return 'UPSTREAM_INVALID';
  }
  return 'UPSTREAM_CLOSED';
}

/** Answers with an error of Swivel's own: a line for people that names the code. */
export function answer(responder: Responder, status: number, code: ErrorCode, requestId?: string, close = false): void {
  const { summary, remedy } = catalogue[code];
  const body = Buffer.from(`${code}: ${summary}; ${remedy}\n`);
  const headers = ['content-type', 'text/plain; charset=utf-8', 'content-length', String(body.length)];
  if (requestId !== undefined) headers.push('x-request-id', requestId);
  if (close) headers.push('connection', 'close');
  responder.head(status, headers);
  responder.write(body);
  responder.end([]);
}
