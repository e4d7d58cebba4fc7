import { request } from 'node:http';
import type { TestContext } from 'node:test';
import { AdminServer, type StatusSources } from '../../../src/admin/index.ts';
import { PemDirectorySource } from '../../../src/certificates/index.ts';
import type { WorkerStatus } from '../../../src/cluster/index.ts';
import { ConnectionRegistry } from '../../../src/connections/index.ts';
import { SwivelError } from '../../../src/errors.ts';
import { Conditions, createLogger, createMetrics, type Metrics } from '../../../src/observe/index.ts';
import { Journal, LocalPublisher, plainActivation, Reconciler } from '../../../src/rotation/index.ts';
import { ContextStore } from '../../../src/tls/index.ts';

/** How the endpoints answered. */
export interface Answered {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
}

export interface TestAdmin {
  readonly port: number;
  readonly conditions: Conditions;
  readonly metrics: Metrics;
  readonly reconciler: Reconciler;
  ask(method: string, path: string, headers?: Record<string, string>): Promise<Answered>;
}

/** The admin endpoints over real certificates in a directory; nothing is read before the first reload. */
export async function startAdmin(
  t: Pick<TestContext, 'after'>,
  directory: string,
  { host = '127.0.0.1', tokenFile }: { host?: string; tokenFile?: string } = {},
): Promise<TestAdmin> {
  const metrics = createMetrics({ version: 'test', processMetrics: true });
  const logger = createLogger({ level: 'silent', format: 'json' });
  const conditions = new Conditions(['Serving']);
  const connections = new ConnectionRegistry({ timeout: 0, spread: 0, upgraded: 0 }, metrics, logger);
  const publisher = new LocalPublisher(new ContextStore({ unknownName: 'default' }), connections);
  const journal = new Journal(metrics, conditions, logger);
  const sources = [new PemDirectorySource(directory)];
  const reconciler = new Reconciler(sources, publisher, journal, logger, {
    loadTimeout: 10_000,
    activation: plainActivation,
  });
  const status: StatusSources = {
    version: '1.2.3',
    startedAt: new Date(0),
    conditions,
    publisher,
    journal,
    serving: {
      summary: async () => connections.summary(),
      workers: () => [worker(publisher.current.number)],
      restart: async () => {
        throw new SwivelError('NO_WORKERS');
      },
    },
    reconciler,
  };
  const options = { address: { host, port: 0 }, ...(tokenFile === undefined ? {} : { tokenFile }) };
  const admin = new AdminServer(options, status, metrics);
  const { port } = await admin.open();
  t.after(() => {
    reconciler.stop();
    admin.close();
  });
  const ask = (method: string, path: string, headers: Record<string, string> = {}) =>
    new Promise<Answered>((resolve, reject) => {
      const sent = request({ host, port, method, path, headers, agent: false }, async (response) => {
        let text = '';
        for await (const chunk of response.setEncoding('utf8')) text += chunk;
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text });
      });
      sent.on('error', reject);
      sent.end();
    });
  return { port, conditions, metrics, reconciler, ask };
}

function worker(generation: number): WorkerStatus {
  const startedAt = new Date(0).toISOString();
  return { id: 1, pid: process.pid, generation, state: 'serving', version: '1.2.3', startedAt };
}
