import type { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import { catalogue, type ErrorCode } from '../errors.ts';
import type { Logger, TrafficMetrics } from '../observe/index.ts';
import { type ConnectionUsed, noteConnection, type Target, type Upstream } from '../upstream/index.ts';
import { ClientGone, RequestBody } from './body.ts';
import type { Forward } from './decide.ts';
import { answer, type Failure, failureOf } from './failure.ts';
import { decodeFields, hasField, responseHeaders, trailerFields } from './headers.ts';
import type { Responder } from './responder.ts';

/** What every exchange shares. */
export interface ExchangeContext {
  readonly metrics: TrafficMetrics;
  readonly logger: Logger;
  /** Milliseconds to wait for a client that neither sends nor reads. */
  readonly idleTimeout: number;
}

/** What is told of a request when it is over. */
export interface Outcome {
  readonly status: number;
  readonly bytes: number;
  readonly error: ErrorCode | null;
}

/** What came of one sending of a request upstream. */
type Result = 'success' | 'retried' | 'error' | 'cut' | 'aborted';

/** The code of nginx for a client that left before there was an answer. */
const clientClosedRequest = 499;

const idempotent = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE']);

/**
 * One request and its answer: upstream as undici sends it, back as the responder writes it.
 *
 *   start ─▶ onRequestStart ─▶ onResponseStart ─▶ onResponseData… ─▶ onResponseEnd
 *     ▲            └───────────┬──────┴──────────────┘
 *     └── once more ── onResponseError ─▶ an answer of our own, or a cut
 */
export class Exchange implements Dispatcher.DispatchHandler {
  readonly #forward: Forward;
  readonly #upstream: Upstream;
  readonly #responder: Responder;
  readonly #context: ExchangeContext;
  readonly #body: RequestBody | null;
  readonly #done: (outcome: Outcome) => void;
  readonly #tried = new Set<Target>();
  readonly #connection: ConnectionUsed = { socket: null, reused: false };
  #target: Target | null = null;
  /** Null while the request waits for a connection. */
  #controller: Dispatcher.DispatchController | null = null;
  #stalled: NodeJS.Timeout | null = null;
  #sentAt = 0;
  #endsWithConnection = false;
  #status = 0;
  #bytes = 0;
  #retried = false;
  #aborted = false;
  #finished = false;

  /** @param done called once, when the exchange is over */
  constructor(
    forward: Forward,
    upstream: Upstream,
    body: Readable,
    responder: Responder,
    context: ExchangeContext,
    done: (outcome: Outcome) => void,
  ) {
    this.#forward = forward;
    this.#upstream = upstream;
    this.#responder = responder;
    this.#context = context;
    this.#body = forward.hasBody ? new RequestBody(body, context.idleTimeout) : null;
    this.#done = done;
    responder.onAbort = () => this.#abort();
    responder.onDrain = () => this.#drained();
  }

  /** Sends the request. */
  start(): void {
    const target = this.#upstream.pick(this.#tried);
    if (!target) {
      this.#fail({ status: 502, code: 'UPSTREAM_UNREACHABLE' });
      return;
    }
    this.#tried.add(target);
    this.#target = target;
    this.#controller = null;
    this.#sentAt = performance.now();
    const { method, path, headers } = this.#forward;
    const options = { method: method as Dispatcher.HttpMethod, path, headers: headers as string[], body: this.#body };
    target.dispatch(options, this);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    if (this.#aborted) {
      controller.abort(new ClientGone());
      return;
    }
    this.#controller = controller;
    if (this.#target) this.#upstream.connected(this.#target, true);
    noteConnection(this.#connection);
    // Only now: a body should not be asked for before there is somebody to take it.
    if (this.#forward.expectsContinue) this.#responder.continue();
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number): void {
    const received = decodeFields((controller as { rawHeaders?: unknown }).rawHeaders);
    if (status < 200) {
      if (status !== 101) this.#responder.inform(status, responseHeaders(received));
      return;
    }
    const labels = { upstream: this.#upstream.name };
    this.#context.metrics.upstreamRequestDuration.observe(labels, (performance.now() - this.#sentAt) / 1000);
    this.#status = status;
    this.#endsWithConnection = !hasField(received, 'content-length') && !hasField(received, 'transfer-encoding');
    this.#responder.head(status, responseHeaders(received, this.#forward.requestId));
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#bytes += chunk.length;
    if (this.#responder.write(chunk)) return;
    controller.pause();
    this.#stalled ??= setTimeout(() => this.#giveUp(), this.#context.idleTimeout);
  }

  onResponseEnd(controller: Dispatcher.DispatchController): void {
    const { socket } = this.#connection;
    // Undici takes a reset for the end of such a body (RFC 9112 §8).
    if (this.#endsWithConnection && socket?.errored) {
      this.onResponseError(controller, socket.errored);
      return;
    }
    this.#count('success');
    this.#finish(null);
    this.#responder.end(trailerFields(decodeFields((controller as { rawTrailers?: unknown }).rawTrailers)));
  }

  onResponseError(_controller: Dispatcher.DispatchController | null, error: Error): void {
    if (this.#finished) return;
    if (this.#aborted || error instanceof ClientGone) {
      this.#aborted = true;
      this.#count('aborted');
      this.#finish(null);
      return;
    }
    const failure = failureOf(error, this.#controller !== null);
    if (this.#status !== 0) {
      this.#count('cut');
      this.#log(failure.code, error, 'the upstream cut its response');
      this.#finish(failure.code);
      this.#responder.cut();
      return;
    }
    if (failure.code === 'UPSTREAM_UNREACHABLE' && this.#target) this.#upstream.connected(this.#target, false);
    if (this.#mayRetry(failure.code)) {
      this.#count('retried');
      this.start();
      return;
    }
    this.#log(failure.code, error, catalogue[failure.code].summary);
    this.#fail(failure);
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
    this.#retried = true;
    this.#tried.clear();
    return true;
  }

  #fail(failure: Failure): void {
    this.#count('error');
    this.#status = failure.status;
    this.#body?.destroy();
    this.#finish(failure.code);
    // A client that did not send all of its request cannot be understood any more (RFC 9110 §15.5.9).
    answer(this.#responder, failure, this.#forward.requestId, failure.status === 408);
  }

  #drained(): void {
    clearTimeout(this.#stalled ?? undefined);
    this.#stalled = null;
    this.#controller?.resume();
  }

  /** The client does not read what it asked for. */
  #giveUp(): void {
    this.#abort();
    this.#responder.cut();
  }

  #abort(): void {
    if (this.#finished || this.#aborted) return;
    this.#aborted = true;
    this.#body?.destroy();
    if (this.#controller) {
      this.#controller.abort(new ClientGone());
      return;
    }
    // Not sent yet: it is aborted as soon as it starts; nobody waits for it any more.
    this.#count('aborted');
    this.#finish(null);
  }

  #finish(error: ErrorCode | null): void {
    if (this.#finished) return;
    this.#finished = true;
    clearTimeout(this.#stalled ?? undefined);
    const status = this.#aborted && this.#status === 0 ? clientClosedRequest : this.#status;
    this.#done({ status, bytes: this.#bytes, error });
  }

  #count(result: Result): void {
    this.#context.metrics.upstreamRequests.inc({ upstream: this.#upstream.name, result });
  }

  #log(code: ErrorCode, error: Error, message: string): void {
    const { remedy } = catalogue[code];
    const line = { code, upstream: this.#upstream.name, target: this.#target?.url.host, error: error.message, remedy };
    this.#context.logger.warn({ ...line, requestId: this.#forward.requestId }, message);
  }
}
