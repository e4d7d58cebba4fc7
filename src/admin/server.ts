import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { catalogue, type ErrorCode, messageOf, SwivelError } from '../errors.ts';
import type { Metrics } from '../observe/index.ts';
import { type ListenAddress, listen } from '../tls/index.ts';
import { mayChange } from './guard.ts';
import { buildReloadAnswer, buildStatus, type ReloadAnswer, type RestartAnswer, type StatusSources } from './status.ts';

export interface AdminOptions {
  readonly address: ListenAddress;
  /** A file with the bearer token that lets other machines change something. */
  readonly tokenFile?: string;
}

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly type?: string;
}

/** Answers to errors that are not our fault. */
const statuses: Partial<Record<ErrorCode, number>> = {
  SHUTTING_DOWN: 503,
  CERTIFICATE_UNKNOWN: 404,
  ROLLBACK_IMPOSSIBLE: 409,
  NO_WORKERS: 409,
};

type Endpoint = (request: IncomingMessage) => Promise<Answer> | Answer;

/** The admin endpoints, on a plaintext listener of their own. */
export class AdminServer {
  readonly #options: AdminOptions;
  readonly #sources: StatusSources;
  readonly #metrics: Metrics;
  readonly #server: Server;
  readonly #endpoints: Record<string, Record<string, Endpoint>>;

  constructor(options: AdminOptions, sources: StatusSources, metrics: Metrics) {
    this.#options = options;
    this.#sources = sources;
    this.#metrics = metrics;
    this.#endpoints = {
      '/healthz': { GET: () => ({ status: 200, body: 'ok\n', type: 'text/plain; charset=utf-8' }) },
      '/readyz': { GET: () => this.#ready() },
      '/metrics': { GET: () => this.#scrape() },
      '/status': { GET: async () => json(200, await buildStatus(this.#sources)) },
      '/reload': { POST: (request) => this.#change(request, (query) => this.#reload(query)) },
      '/restart-workers': { POST: (request) => this.#change(request, () => this.#restart()) },
      '/rollback': { POST: (request) => this.#change(request, (query) => this.#rollback(query)) },
    };
    this.#server = createServer((request, response) => void this.#answer(request, response));
  }

  /** @returns the address with the port that was given @throws SwivelError LISTEN_FAILED */
  async open(): Promise<ListenAddress> {
    const address = await listen(this.#server, this.#options.address);
    this.#server.on('error', () => {});
    return address;
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = (request.url ?? '/').split('?', 1)[0] ?? '/';
    const methods = Object.hasOwn(this.#endpoints, path) ? this.#endpoints[path] : undefined;
    const method = request.method === 'HEAD' ? 'GET' : (request.method ?? 'GET');
    const endpoint = methods?.[method];
    request.resume();
    let answer: Answer;
    try {
      if (endpoint) answer = await endpoint(request);
      else if (methods) answer = json(405, { message: `use ${Object.keys(methods).join(' or ')}` });
      else answer = json(404, { message: `there is ${Object.keys(this.#endpoints).join(', ')}` });
    } catch (error) {
      const known = error instanceof SwivelError ? error : new SwivelError('INTERNAL', messageOf(error));
      const { code, message, remedy } = known;
      answer = json(statuses[code] ?? 500, { code, message, remedy });
    }
    const allow = methods && !endpoint ? { allow: Object.keys(methods).join(', ') } : {};
    response.writeHead(answer.status, {
      'content-type': answer.type ?? 'application/json',
      'content-length': Buffer.byteLength(answer.body),
      'cache-control': 'no-store',
      ...allow,
    });
    response.end(answer.body);
  }

  #ready(): Answer {
    const { conditions } = this.#sources;
    return json(conditions.ready ? 200 : 503, { ready: conditions.ready, conditions: conditions.list() });
  }

  async #scrape(): Promise<Answer> {
    const { registry } = this.#metrics;
    return { status: 200, body: await registry.metrics(), type: registry.contentType };
  }

  /** Answers what changes something, to those who may. */
  async #change(request: IncomingMessage, change: (query: URLSearchParams) => Promise<object>): Promise<Answer> {
    if (!mayChange(request, await this.#token())) {
      const { summary, remedy } = catalogue.ADMIN_REFUSED;
      return json(403, { code: 'ADMIN_REFUSED', message: summary, remedy });
    }
    return json(200, await change(new URL(request.url ?? '/', 'http://admin').searchParams));
  }

  /** `?compromised=ID`: new ticket keys, connections cut. `?accept=ID`: serve what is on disk whatever the gate says. Both repeatable. */
  async #reload(query: URLSearchParams): Promise<ReloadAnswer> {
    const wishes = { compromised: query.getAll('compromised'), accept: query.getAll('accept') };
    const { reconciler, publisher, journal } = this.#sources;
    const known = new Set([...publisher.current.served.keys(), ...journal.verdicts.map(({ id }) => id)]);
    for (const id of [...wishes.compromised, ...wishes.accept]) {
      if (!known.has(id)) throw new SwivelError('CERTIFICATE_UNKNOWN', `there is no certificate "${id}"`);
    }
    return buildReloadAnswer(await reconciler.runOnce('api', wishes));
  }

  /** `?certificate=ID`; without it, all that the last change changed. */
  async #rollback(query: URLSearchParams): Promise<ReloadAnswer> {
    const report = await this.#sources.reconciler.rollback(query.get('certificate') ?? undefined);
    return { ...buildReloadAnswer(report), rolledBack: report.rolledBack };
  }

  /** Answers when the last of the new workers serves. */
  async #restart(): Promise<RestartAnswer> {
    const { serving, publisher } = this.#sources;
    const replaced = await serving.restart();
    return { generation: publisher.current.number, replaced };
  }

  /** Read each time: a token is rotated like any other secret. */
  async #token(): Promise<string | null> {
    if (this.#options.tokenFile === undefined) return null;
    const text = await readFile(this.#options.tokenFile, 'utf8').catch(() => '');
    return text.trim() === '' ? null : text.trim();
  }
}

function json(status: number, value: unknown): Answer {
  return { status, body: `${JSON.stringify(value, null, 2)}\n` };
}
