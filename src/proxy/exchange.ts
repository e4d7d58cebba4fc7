import { catalogue, type ErrorCode } from '../errors.ts';
import { FieldText, requestText } from '../http1/index.ts';
import type { Logger, TrafficMetrics } from '../observe/index.ts';
import type { Target, Upstream, Wire, WireUser } from '../upstream/index.ts';
import { type BodySink, ClientGone, type RequestBody } from './body.ts';
import type { Forward } from './decide.ts';
import { answer, type Failure, failureOf } from './failure.ts';
import { responseHeaders, trailerFields } from './headers.ts';
import type { Answerer, Responder } from './responder.ts';

/** What every exchange shares. */
export interface ExchangeContext {
  readonly metrics: TrafficMetrics;
  readonly logger: Logger;
  /** Milliseconds to wait for a client that neither sends nor reads. */
  readonly idleTimeout: number;
}

/** Who is told when it is over. */
export interface Reporter {
  /** Called once. @param bytes of the body of the answer */
  report(status: number, bytes: number, error: ErrorCode | null): void;
}

/** What came of one sending of a request upstream. */
type Result = 'success' | 'retried' | 'error' | 'cut' | 'aborted';

/** The code of nginx for a client that left before there was an answer. */
const clientClosedRequest = 499;

const idempotent = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE']);

/**
 * One request and its answer: upstream over a wire, back as the responder writes it.
 *
 *   start ─▶ onWire ─▶ onHead ─▶ onData… ─▶ onEnd
 *     ▲         └────────┬──────────┘
 *     └── once more ── onError ─▶ an answer of our own, or a cut
 */
export class Exchange implements WireUser, Answerer, BodySink {
  readonly #forward: Forward;
  readonly #upstream: Upstream;
  readonly #responder: Responder;
  readonly #context: ExchangeContext;
  readonly #body: RequestBody | null;
  readonly #reporter: Reporter;
  /** Made when a second target is asked. */
  #tried: Set<Target> | null = null;
  #target: Target | null = null;
  /** Null while the request waits for a connection, and when the answer is here. */
  #wire: Wire | null = null;
  /** The request, or a part of it, went out. */
  #sent = false;
  #reused = false;
  #stalled: NodeJS.Timeout | null = null;
  #sentAt = 0;
  #status = 0;
  #bytes = 0;
  #retried = false;
  #aborted = false;
  #finished = false;

  /** @param body null when the request has none */
  constructor(
    forward: Forward,
    upstream: Upstream,
    body: RequestBody | null,
    responder: Responder,
    context: ExchangeContext,
    reporter: Reporter,
  ) {
    this.#forward = forward;
    this.#upstream = upstream;
    this.#responder = responder;
    this.#context = context;
    this.#body = body;
    this.#reporter = reporter;
    responder.attach(this);
  }

  /** Sends the request. */
  start(): void {
    const target = this.#tried ? this.#upstream.pick(this.#tried) : this.#upstream.pick();
    if (!target) {
      this.#fail({ status: 502, code: 'UPSTREAM_UNREACHABLE' });
      return;
    }
    this.#target = target;
    this.#sent = false;
    target.take(this, this.#retried);
  }

  onWire(wire: Wire, reused: boolean): void {
    if (this.#finished) {
      wire.giveBack();
      return;
    }
    const { method, path, fields, requestId, framing, expectsContinue } = this.#forward;
    const own = ['x-request-id', requestId];
    this.#wire = wire;
    this.#reused = reused;
    this.#sent = true;
    this.#sentAt = performance.now();
    if (this.#target && !this.#target.reachable) this.#upstream.connected(this.#target, true);
    if (framing === 'chunked' && this.#body?.empty) {
      this.#body.discard();
      wire.send(method, requestText(method, path, unchunked(fields), own), null);
      return;
    }
    wire.send(method, requestText(method, path, fields, own), framing);
    const body = this.#body;
    if (!body || framing === null) return;
    // Only now: a body should not be asked for before there is somebody to take it.
    if (expectsContinue) this.#responder.continue();
    body.pour(this);
    wire.uncork();
  }

  onBody(chunk: Buffer): void {
    if (this.#wire?.write(chunk) === false) this.#body?.pause();
  }

  onBodyEnd(): void {
    this.#wire?.end();
  }

  /** What was sent upstream is not a request; there is nobody any more who could be answered, or he is at fault. */
  onBodyError(error: Error): void {
    this.#wire?.abandon();
    this.onError(error);
  }

  onWritable(): void {
    this.#body?.resume();
  }

  onInform(status: number, headers: string[]): void {
    if (!this.#finished) this.#responder.inform(status, responseHeaders(headers));
  }

  onHead(status: number, headers: string[]): void {
    const { metrics } = this.#context;
    metrics.upstreamRequestDuration.observe(this.#upstream.labels, (performance.now() - this.#sentAt) / 1000);
    this.#status = status;
    this.#responder.head(status, responseHeaders(headers, this.#forward.requestId));
  }

  onData(chunk: Buffer): void {
    this.#bytes += chunk.length;
    if (this.#responder.write(chunk)) return;
    this.#wire?.pause();
    this.#stalled ??= setTimeout(() => this.#giveUp(), this.#context.idleTimeout);
  }

  onRead(): void {
    this.#responder.flush();
  }

  onEnd(trailers: string[]): void {
    this.#wire = null;
    this.#body?.discard();
    this.#count('success');
    this.#finish(null);
    this.#responder.end(trailers.length === 0 ? trailers : trailerFields(trailers));
  }

  onUnreachable(error: Error): void {
    this.onError(error);
  }

  onError(error: Error): void {
    this.#wire = null;
    if (this.#finished) return;
    if (error instanceof ClientGone) {
      this.#aborted = true;
      this.#count('aborted');
      this.#finish(null);
      return;
    }
    const failure = failureOf(error, this.#sent);
    if (this.#status !== 0) {
      this.#count('cut');
      this.#log(failure.code, error, 'the upstream cut its response');
      this.#body?.discard();
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

  /** The client took what was written. */
  onDrain(): void {
    if (this.#stalled) clearTimeout(this.#stalled);
    this.#stalled = null;
    this.#wire?.resume();
  }

  /** The client went away. */
  onAbort(): void {
    if (this.#finished) return;
    this.#aborted = true;
    this.#body?.discard();
    this.#wire?.abandon();
    this.#wire = null;
    this.#count('aborted');
    this.#finish(null);
  }

  /**
   * A target that was never reached may be passed over for the next, whatever the request. A request that was sent is sent
   * again only once, when that can do no harm (RFC 9110 §9.2.2), and only because a kept-alive connection closed under it.
   */
  #mayRetry(code: ErrorCode): boolean {
    if (this.#body?.started) return false;
    if (code === 'UPSTREAM_UNREACHABLE' && this.#target) {
      this.#tried ??= new Set();
      this.#tried.add(this.#target);
      return this.#tried.size < this.#upstream.targets.length;
    }
    const harmless = idempotent.has(this.#forward.method) && this.#body === null;
    if (code !== 'UPSTREAM_CLOSED' || !harmless || !this.#reused || this.#retried) return false;
    this.#retried = true;
    this.#tried = null;
    return true;
  }

  #fail(failure: Failure): void {
    this.#count('error');
    this.#status = failure.status;
    this.#body?.discard();
    this.#finish(failure.code);
    // A client that did not send all of its request cannot be understood any more (RFC 9110 §15.5.9).
    answer(this.#responder, failure, this.#forward.requestId, failure.code === 'REQUEST_MALFORMED');
  }

  /** The client does not read what it asked for. */
  #giveUp(): void {
    this.onAbort();
    this.#responder.cut();
  }

  #finish(error: ErrorCode | null): void {
    if (this.#finished) return;
    this.#finished = true;
    if (this.#stalled) clearTimeout(this.#stalled);
    const status = this.#aborted && this.#status === 0 ? clientClosedRequest : this.#status;
    this.#reporter.report(status, this.#bytes, error);
  }

  #count(result: Result): void {
    this.#context.metrics.upstreamRequests.inc(this.#upstream.labelsFor(result));
  }

  #log(code: ErrorCode, error: Error, message: string): void {
    const { remedy } = catalogue[code];
    const line = { code, upstream: this.#upstream.name, target: this.#target?.url.host, error: error.message, remedy };
    this.#context.logger.warn({ ...line, requestId: this.#forward.requestId }, message);
  }
}

/** The fields of a request of which it turned out that it has no body; not every legacy service knows chunks. */
function unchunked({ headers }: FieldText): FieldText {
  const at = headers.lastIndexOf('transfer-encoding');
  return new FieldText([...headers.slice(0, at), 'content-length', '0', ...headers.slice(at + 2)]);
}
