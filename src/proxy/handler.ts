import type { Readable } from 'node:stream';
import type { ClientTrust, Connection } from '../connections/index.ts';
import type { Logger, TrafficMetrics } from '../observe/index.ts';
import type { Upstream } from '../upstream/index.ts';
import { discard } from './body.ts';
import type { ClientRules } from './client-rules.ts';
import { type DecisionContext, decide, type Forward } from './decide.ts';
import { Exchange, type Outcome } from './exchange.ts';
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

const knownMethods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

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

  /** Decides on a request and has it answered. */
  handle(connection: Connection, head: RequestHead, body: Readable, responder: Responder): void {
    const done = this.begin(connection, head);
    const decision = this.decide(connection, head);
    if (decision.kind === 'refuse') {
      done({ status: decision.status, bytes: 0, error: decision.code });
      answer(responder, decision, undefined, decision.close);
      discard(body);
      return;
    }
    const upstream = this.upstream(decision);
    new Exchange(decision, upstream, body, responder, this.#options, done).start();
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

  /** Counts a request from here on. @returns what to call when it is over */
  begin(connection: Connection, head: RequestHead): (outcome: Outcome) => void {
    const { metrics } = this.#options;
    const startedAt = performance.now();
    metrics.requestsInFlight.inc();
    return (outcome) => {
      metrics.requestsInFlight.dec();
      const method = knownMethods.has(head.method) ? head.method : 'other';
      metrics.requests.inc({ method, code: String(outcome.status) });
      metrics.requestDuration.observe((performance.now() - startedAt) / 1000);
      metrics.keep();
      if (this.#options.access) this.#logAccess(connection, head, outcome, startedAt);
    };
  }

  /** Counts what was refused before it was a request. */
  refused(status: number): void {
    this.#options.metrics.requests.inc({ method: 'other', code: String(status) });
  }

  #logAccess(connection: Connection, head: RequestHead, outcome: Outcome, startedAt: number): void {
    const { certificate } = connection;
    this.#options.logger.info(
      {
        event: 'request',
        client: connection.address,
        method: head.method,
        host: head.authority ?? hostOf(head),
        // Without the query: it is where secrets travel.
        path: head.target.split('?', 1)[0],
        version: head.version,
        status: outcome.status,
        bytes: outcome.bytes,
        durationMs: Math.round((performance.now() - startedAt) * 10) / 10,
        certificate: certificate?.id,
        ...(outcome.error ? { code: outcome.error } : {}),
      },
      'request',
    );
  }
}

function hostOf(head: RequestHead): string | undefined {
  const at = head.headers.findIndex((name, i) => i % 2 === 0 && name.toLowerCase() === 'host');
  return at < 0 ? undefined : head.headers[at + 1];
}

const unknown = { id: '', fingerprint: '', fingerprint256: '', names: [] };
