import type { ClientTrust, Connection } from '../connections/index.ts';
import type { ErrorCode } from '../errors.ts';
import type { Logger, TrafficMetrics } from '../observe/index.ts';
import type { Upstream } from '../upstream/index.ts';
import type { RequestBody } from './body.ts';
import type { ClientRules } from './client-rules.ts';
import { type DecisionContext, decide, type Forward } from './decide.ts';
import { Exchange, type Reporter } from './exchange.ts';
import { answer } from './failure.ts';
import type { ClientFacts, Distrust, Refusal, RequestHead } from './request.ts';
import type { Responder } from './responder.ts';

export interface HandlerOptions {
  readonly decision: DecisionContext;
  readonly upstreams: ReadonlyMap<string, Upstream>;
  /** Which client certificates are trusted. */
  readonly trust: ClientTrust;
  /** Whom the listener of a connection lets in. */
  readonly rulesOf: (connection: Connection) => ClientRules;
  readonly metrics: TrafficMetrics;
  readonly logger: Logger;
  /** Log each request. */
  readonly access: boolean;
  /** Milliseconds to wait for a client that neither sends nor reads. */
  readonly idleTimeout: number;
}

/** Takes a request from decision to answer. The seam that all protocols share. */
export class RequestHandler {
  readonly #options: HandlerOptions;
  readonly #told = new WeakSet<Connection>();

  constructor(options: HandlerOptions) {
    this.#options = options;
  }

  get metrics(): TrafficMetrics {
    return this.#options.metrics;
  }

  get logger(): Logger {
    return this.#options.logger;
  }

  /** Decides on a request and has it answered. @param body null when there is none */
  handle(connection: Connection, head: RequestHead, body: RequestBody | null, responder: Responder): void {
    const account = this.begin(connection, head);
    const decision = this.decide(connection, head);
    if (decision.kind === 'refuse') {
      account.report(decision.status, 0, decision.code);
      body?.discard();
      answer(responder, decision, undefined, decision.close);
      return;
    }
    new Exchange(decision, this.upstream(decision), body, responder, this.#options, account).start();
  }

  decide(connection: Connection, head: RequestHead): Forward | Refusal {
    const decision = decide(head, this.#clientOf(connection), this.#options.decision);
    if (decision.kind === 'refuse' && decision.client) this.#distrusted(connection, decision.client);
    return decision;
  }

  /** Each request is counted, and the first one of a connection logged: why it was refused is told to nobody else. */
  #distrusted(connection: Connection, { reason, detail }: Distrust): void {
    this.#options.metrics.clientCertificates.inc({ reason });
    if (this.#told.has(connection)) return;
    this.#told.add(connection);
    const fingerprint256 = connection.client?.chain[0]?.fingerprint256.replaceAll(':', '').toLowerCase();
    const line = { event: 'client-rejected', code: 'CLIENT_CERTIFICATE_REJECTED', client: connection.address };
    this.#options.logger.info({ ...line, reason, detail, fingerprint256 }, 'client certificate rejected');
  }

  #clientOf(connection: Connection): ClientFacts {
    const { trust, rulesOf } = this.#options;
    return {
      address: connection.address,
      certificate: connection.certificate ?? unknown,
      admit: (host) => rulesOf(connection).admit(connection, host, trust),
    };
  }

  upstream(forward: Forward): Upstream {
    // Configuration is checked: a route leads to an upstream that exists.
    return this.#options.upstreams.get(forward.upstream) as Upstream;
  }

  /** Counts a request from here on. */
  begin(connection: Connection, head: RequestHead): Account {
    this.#options.metrics.requestsInFlight.inc();
    return new Account(connection, head, this.#options);
  }

  /** Counts what was refused before it was a request. */
  refused(status: number): void {
    this.#options.metrics.requests.inc(labelsFor('other', status));
  }
}

/** What is counted and logged of one request. */
class Account implements Reporter {
  readonly #connection: Connection;
  readonly #head: RequestHead;
  readonly #options: HandlerOptions;
  readonly #startedAt = performance.now();

  constructor(connection: Connection, head: RequestHead, options: HandlerOptions) {
    this.#connection = connection;
    this.#head = head;
    this.#options = options;
  }

  report(status: number, bytes: number, error: ErrorCode | null): void {
    const { metrics, access } = this.#options;
    const duration = performance.now() - this.#startedAt;
    metrics.requestsInFlight.dec();
    metrics.requests.inc(labelsFor(this.#head.method, status));
    metrics.requestDuration.observe(duration / 1000);
    metrics.keep();
    if (access) this.#log(status, bytes, error, duration);
  }

  #log(status: number, bytes: number, error: ErrorCode | null, duration: number): void {
    const { certificate, address } = this.#connection;
    const head = this.#head;
    this.#options.logger.info(
      {
        event: 'request',
        client: address,
        method: head.method,
        host: head.authority ?? head.memo?.read?.host ?? hostOf(head),
        // Without the query: it is where secrets travel.
        path: withoutQuery(head.target),
        version: head.version,
        status,
        bytes,
        durationMs: Math.round(duration * 10) / 10,
        certificate: certificate?.id,
        ...(error ? { code: error } : {}),
      },
      'request',
    );
  }
}

interface RequestLabels {
  readonly method: string;
  readonly code: string;
}

const knownMethods = new Map(
  ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'other'].map((method) => [
    method,
    new Map<number, RequestLabels>(),
  ]),
);

/** Bounded: a method of nobody's invention is `other`, and a status has three digits. */
function labelsFor(method: string, status: number): RequestLabels {
  const name = knownMethods.has(method) ? method : 'other';
  const labels = knownMethods.get(name) as Map<number, RequestLabels>;
  const known = labels.get(status);
  if (known) return known;
  const made = { method: name, code: String(status) };
  labels.set(status, made);
  return made;
}

function withoutQuery(target: string): string {
  const at = target.indexOf('?');
  return at < 0 ? target : target.slice(0, at);
}

function hostOf(head: RequestHead): string | undefined {
  const at = head.headers.findIndex((name, i) => i % 2 === 0 && name.toLowerCase() === 'host');
  return at < 0 ? undefined : head.headers[at + 1];
}

const unknown = { id: '', fingerprint: '', fingerprint256: '', names: [] };
