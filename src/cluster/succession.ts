import { messageOf, SwivelError } from '../errors.ts';
import type { Logger } from '../observe/index.ts';
import type { ManagedWorker } from './managed-worker.ts';

/** One worker that took the place of another. */
export interface Replacement {
  readonly old: number;
  readonly new: number;
  readonly version: string;
}

/** Puts new workers in the place of old ones, without a moment in which there are fewer. */
export class Succession {
  readonly #spawn: () => ManagedWorker;
  readonly #logger: Logger;
  readonly #fault: (error: unknown) => void;
  readonly #successors = new Map<ManagedWorker, ManagedWorker>();
  #restarting: Promise<readonly Replacement[]> | null = null;
  #over = false;

  /**
   * @param spawn starts a worker
   * @param fault told why a restart failed
   */
  constructor(spawn: () => ManagedWorker, logger: Logger, fault: (error: unknown) => void) {
    this.#spawn = spawn;
    this.#logger = logger;
    this.#fault = fault;
  }

  /** Pairs of which both are there: as many workers there are in addition. */
  get pairs(): number {
    return [...this.#successors].filter(([old, next]) => old.state !== 'gone' && next.state !== 'gone').length;
  }

  /** Whose place a worker is to take. */
  predecessorOf(worker: ManagedWorker): ManagedWorker | undefined {
    for (const [old, next] of this.#successors) if (next === worker) return old;
    return undefined;
  }

  /** From now on nobody is replaced. */
  end(): void {
    this.#over = true;
  }

  /**
   * Replaces workers one after another. A call while that goes on is the same restart.
   * @throws SwivelError WORKERS_FAILED, WORKER_INCOMPATIBLE when a new one does not get to serve; those that are left go on
   */
  restart(workers: readonly ManagedWorker[]): Promise<readonly Replacement[]> {
    if (this.#restarting) return this.#restarting;
    this.#restarting = this.#roll(workers).finally(() => {
      this.#restarting = null;
    });
    this.#restarting.catch(this.#fault);
    return this.#restarting;
  }

  async #roll(workers: readonly ManagedWorker[]): Promise<readonly Replacement[]> {
    const replaced: Replacement[] = [];
    for (const worker of workers) {
      if (worker.state !== 'serving') continue;
      const next = await this.replace(worker);
      if (next) replaced.push({ old: worker.id, new: next.id, version: next.version });
    }
    return replaced;
  }

  /**
   * Starts another worker, and has this one leave when that one serves.
   * @returns who took its place; null when it is being replaced already, or does not serve
   * @throws SwivelError SHUTTING_DOWN, WORKERS_FAILED, WORKER_INCOMPATIBLE
   */
  async replace(worker: ManagedWorker): Promise<ManagedWorker | null> {
    if (this.#over) throw new SwivelError('SHUTTING_DOWN');
    // One that starts may be in the place of another itself, which goes on should it fail.
    if (worker.state !== 'serving' || this.#successors.has(worker)) return null;
    const next = this.#spawn();
    this.#successors.set(worker, next);
    try {
      await next.serves;
    } catch (error) {
      // A signal to the whole group asks workers to be replaced, and the primary to stop right after.
      if (this.#over) throw new SwivelError('SHUTTING_DOWN');
      throw await this.#failure(worker, next, error);
    } finally {
      this.#successors.delete(worker);
    }
    const line = { event: 'worker', worker: next.id, version: next.version, replaces: worker.id };
    this.#logger.info(line, `worker ${next.id} takes the place of worker ${worker.id}`);
    void worker.leave();
    return next;
  }

  async #failure(worker: ManagedWorker, next: ManagedWorker, error: unknown): Promise<SwivelError> {
    const known = error instanceof SwivelError ? error : null;
    const why = known?.code === 'WORKER_GONE' ? `it ended with ${await next.exited}` : messageOf(error);
    const message = `worker ${next.id} was to take the place of worker ${worker.id}: ${why}`;
    if (known?.code === 'WORKER_INCOMPATIBLE') return new SwivelError(known.code, message, { cause: error });
    return new SwivelError('WORKERS_FAILED', message, { cause: error });
  }
}
