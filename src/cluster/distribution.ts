import { type Finding, messageOf, SwivelError } from '../errors.ts';
import type { Generation } from '../tls/index.ts';
import { absent, type Goal, type ManagedWorker } from './managed-worker.ts';

/** A generation that was put to the workers. */
export interface Ballot {
  /** What workers cannot serve of it. */
  readonly failures: readonly Finding[];
  /** Call once the primary has it as the current one. @returns how many connections drain, by fingerprint */
  commit(): Promise<ReadonlyMap<string, number>>;
  abort(): void;
}

/** What a distribution knows of the generation that holds. */
export interface Standard {
  readonly current: Generation;
  readonly ticketKeys: Buffer;
}

/**
 * Brings generations to workers. What is published goes to all who serve in two steps; who misses it, or comes later, is brought up to
 * date on its own. So nobody who hangs holds up the others.
 */
export class Distribution {
  readonly #workers: () => Iterable<ManagedWorker>;
  readonly #standard: Standard;
  #publishing: PromiseWithResolvers<void> | null = null;
  /** What was committed last. */
  #published: Goal | null = null;

  constructor(workers: () => Iterable<ManagedWorker>, standard: Standard) {
    this.#workers = workers;
    this.#standard = standard;
  }

  /**
   * Has every worker that serves the current generation build the next one.
   * @throws SwivelError WORKER_REFUSED when one cannot; then nobody holds on to it
   */
  async prepare(goal: Goal): Promise<Ballot> {
    const ended = Promise.withResolvers<void>();
    this.#publishing = ended;
    const end = () => {
      this.#publishing = null;
      ended.resolve();
    };
    const voters = [...this.#workers()].filter((worker) => worker.attends && worker.have === this.#standard.current);
    const failures: Finding[] = [];
    const ready: ManagedWorker[] = [];
    const refusals: string[] = [];
    await Promise.all(
      voters.map(async (worker) => {
        try {
          const answer = await worker.attend(worker.prepare(goal));
          if (answer === absent) return;
          failures.push(...answer);
          ready.push(worker);
        } catch (error) {
          // What it has is not what it was thought to have, perhaps: it gets all of it anew, and is replaced if that fails as well.
          worker.have = null;
          refusals.push(`worker ${worker.id}: ${messageOf(error)}`);
        }
      }),
    );
    const abort = () => {
      for (const worker of voters) worker.abort();
      end();
    };
    if (refusals.length > 0) {
      abort();
      throw new SwivelError('WORKER_REFUSED', `a worker cannot prepare the new generation: ${refusals.join('; ')}`);
    }
    const commit = async () => {
      this.#published = goal;
      const drained = new Map<string, number>();
      await Promise.all(
        ready.map(async (worker) => {
          const answer = await worker.attend(worker.commit(goal)).catch((): typeof absent => absent);
          if (answer === absent) return;
          for (const [fingerprint, count] of answer) drained.set(fingerprint, (drained.get(fingerprint) ?? 0) + count);
        }),
      );
      end();
      return drained;
    };
    return { failures, commit, abort };
  }

  /**
   * Brings one worker to what is current, whatever it has. One that starts is `joining` then.
   * @returns once it has that, and nothing else is on its way
   * @throws SwivelError WORKER_GONE, WORKER_REFUSED
   */
  async bringUp(worker: ManagedWorker): Promise<void> {
    worker.catchingUp = true;
    try {
      while (this.#publishing || worker.have !== this.#standard.current) {
        await this.#publishing?.promise;
        await worker.idle;
        const { current: contents, ticketKeys } = this.#standard;
        if (worker.have === contents) continue;
        // By the same time as the others: it decides who serves a name.
        const now = this.#published?.contents === contents ? this.#published.now : Date.now();
        const goal = { contents, ticketKeys, now };
        const [refused] = await worker.prepare(goal);
        if (refused) throw new SwivelError('WORKER_REFUSED', `worker ${worker.id}: ${refused.message}`);
        await worker.commit(goal);
      }
      if (worker.toCutAgain.size > 0) {
        const fingerprints = new Set(worker.toCutAgain);
        worker.toCutAgain.clear();
        void worker.attend(worker.cut(fingerprints)).catch(() => {});
      }
      // In the same moment, so that it takes part in whatever is published from now on.
      if (worker.state === 'starting') worker.state = 'joining';
    } finally {
      worker.catchingUp = false;
    }
  }
}
