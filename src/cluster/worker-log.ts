import { catalogue, messageOf, SwivelError } from '../errors.ts';
import type { Logger } from '../observe/index.ts';
import type { ManagedWorker } from './managed-worker.ts';

/** Tells in the log how workers fare. */
export class WorkerLog {
  readonly #logger: Logger;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  serves(worker: ManagedWorker): void {
    const line = { event: 'worker', worker: worker.id, pid: worker.pid, version: worker.version };
    this.#logger.info({ ...line, generation: worker.have?.number }, 'worker serves');
  }

  /** @param how it ended @param wait milliseconds until another one is started in its place */
  died(worker: ManagedWorker, how: string, wait: number): void {
    const { remedy } = catalogue.WORKER_DIED;
    const line = { event: 'worker', code: 'WORKER_DIED', worker: worker.id, pid: worker.pid, how, remedy };
    this.#logger.error({ ...line, replacedInMs: Math.round(wait) }, `worker ${worker.id} died (${how})`);
  }

  silent(worker: ManagedWorker): void {
    const { summary, remedy } = catalogue.WORKER_SILENT;
    const line = { event: 'worker', code: 'WORKER_SILENT', worker: worker.id, pid: worker.pid, remedy };
    this.#logger.error(line, summary);
  }

  /** Something went wrong; a stop is nothing wrong. */
  failed(error: unknown): void {
    const known = error instanceof SwivelError ? error : new SwivelError('INTERNAL', messageOf(error));
    if (known.code === 'SHUTTING_DOWN') return;
    this.#logger.error({ event: 'worker', code: known.code, remedy: known.remedy }, known.message);
  }
}
