import type { ConnectionSummary, StopResult } from '../connections/index.ts';
import { SwivelError } from '../errors.ts';
import type { Logger } from '../observe/index.ts';
import type { Refusal } from '../tls/index.ts';
import { Distribution, type Standard } from './distribution.ts';
import { absent, ManagedWorker, type WorkerProcess, type WorkerTidings } from './managed-worker.ts';
import { type Beginning, type Observation, protocol, type Vitals } from './methods.ts';
import { Opening } from './opening.ts';
import { Pulse, silentAfter } from './pulse.ts';
import { Respawn } from './respawn.ts';
import { SharedIssuers } from './shared-issuers.ts';
import { abandonWorkers, stopWorkers } from './stop-workers.ts';
import { type Replacement, Succession } from './succession.ts';
import { WorkerLog } from './worker-log.ts';

export interface FleetOptions {
  /** How many workers serve. */
  readonly size: number;
  readonly beginning: Omit<Beginning, 'protocol'>;
  /** What a worker is told of the configuration. @param id of the worker */
  readonly configuration: (id: number) => unknown;
  /** Milliseconds a stop may take, after which what is left of it is killed. */
  readonly stopTimeout: number;
  /** Starts a process. @param id of the worker */
  readonly spawn: (id: number) => WorkerProcess;
  /** Told of each worker whose process has ended. */
  readonly gone: (id: number, died: boolean) => void;
  readonly vitals: (id: number, vitals: Vitals) => void;
  readonly observed: (observations: readonly Observation[]) => void;
  readonly refused?: (refusal: Refusal) => void;
  /** Told when who serves, or what, may have changed. */
  readonly changed: () => void;
}

/** The workers: as many as there should be, whatever happens to them. */
export class Fleet {
  readonly distribution: Distribution;
  readonly #options: FleetOptions;
  readonly #log: WorkerLog;
  readonly #standard: Standard;
  readonly #respawn = new Respawn();
  readonly #issuers = new SharedIssuers();
  readonly #workers = new Map<number, ManagedWorker>();
  readonly #succession: Succession;
  readonly #pulse: Pulse;
  readonly #opening: Opening;
  #filling: NodeJS.Timeout | null = null;
  #nextId = 1;
  #stopping = false;
  #logLevel: string | null = null;

  /** @param standard the generation that workers are to serve */
  constructor(options: FleetOptions, standard: Standard, logger: Logger) {
    this.#options = options;
    this.#standard = standard;
    this.#log = new WorkerLog(logger);
    this.#opening = new Opening(options.size);
    this.distribution = new Distribution(() => this.#workers.values(), standard);
    this.#succession = new Succession(
      () => this.#spawn(),
      logger,
      (error) => this.#log.failed(error),
    );
    this.#pulse = new Pulse(
      () => this.#workers.values(),
      (worker) => worker.have !== standard.current,
      {
        silent: (worker) => this.#silent(worker),
        stuck: (worker) =>
          this.#failed(
            worker,
            new SwivelError('WORKERS_FAILED', `worker ${worker.id} does not get as far as to serve`),
          ),
        behind: (worker) => this.#replace(worker),
        beat: () => this.sweep(),
      },
    );
  }

  /** The workers there are, oldest first. */
  get workers(): readonly ManagedWorker[] {
    return [...this.#workers.values()];
  }

  /** Starts the processes. They wait for `open`. */
  start(): void {
    this.#fill();
  }

  /**
   * Has the workers serve the current generation.
   * @param sockets bound, in the order of the listeners
   * @throws SwivelError what kept workers from starting
   */
  async open(sockets: readonly unknown[]): Promise<void> {
    const opened = this.#opening.begin(sockets);
    this.#pulse.start();
    await opened;
  }

  /** Brings who is behind to what is current. */
  sweep(): void {
    for (const worker of this.#workers.values()) {
      if (!worker.attends || worker.have === this.#standard.current || worker.isSilent(silentAfter)) continue;
      this.distribution.bringUp(worker).then(this.#options.changed, (error) => this.#failed(worker, error));
    }
    this.#options.changed();
  }

  isSilent(worker: ManagedWorker): boolean {
    return worker.isSilent(silentAfter);
  }

  /** Whether all who accept connections serve what is current, as far as is known. */
  get inSync(): boolean {
    return this.workers.every((worker) => {
      if (worker.state !== 'serving') return true;
      return worker.have === this.#standard.current && !worker.isSilent(silentAfter);
    });
  }

  /** Asks all who have connections for something. @returns the answers of those who gave one */
  async ask<T>(question: (worker: ManagedWorker) => Promise<T>): Promise<T[]> {
    // One that is being brought up to date has connections all the same.
    const asked = this.workers.filter(({ state }) => state !== 'starting' && state !== 'gone');
    const answers = await Promise.all(
      asked.map((worker) => worker.attend(question(worker)).catch((): typeof absent => absent)),
    );
    return answers.filter((answer): answer is Awaited<T> => answer !== absent);
  }

  setLogLevel(level: string): void {
    this.#logLevel = level;
    for (const worker of this.#workers.values()) worker.setLogLevel(level);
  }

  /**
   * Replaces the workers one after another, each by one that serves already. They run the program as it is on disk now.
   * @throws SwivelError WORKERS_FAILED, WORKER_INCOMPATIBLE when a new one does not get to serve; those that are left go on
   */
  restart(): Promise<readonly Replacement[]> {
    return this.#succession.restart(this.workers);
  }

  /** A stop is about to come: nobody is replaced any more, whoever asks for it. */
  hold(): void {
    this.#succession.end();
  }

  /** Stops all gracefully. */
  async stop(): Promise<StopResult> {
    this.hold();
    this.#stopping = true;
    if (this.#filling) clearTimeout(this.#filling);
    const result = await stopWorkers(this.workers, this.#options.stopTimeout);
    this.close();
    return result;
  }

  /** Cuts what a stop still waits for. */
  abandon(): void {
    abandonWorkers(this.workers);
  }

  /** Ends everything at once. Idempotent. */
  close(): void {
    this.hold();
    this.#stopping = true;
    this.#opening.end();
    this.#pulse.stop();
    if (this.#filling) clearTimeout(this.#filling);
    for (const worker of this.#workers.values()) worker.kill('SIGKILL');
  }

  #replace(worker: ManagedWorker): void {
    this.#succession.replace(worker).then(this.#options.changed, (error) => this.#log.failed(error));
  }

  get #serving(): number {
    return this.workers.filter(({ state }) => state === 'serving').length;
  }

  /** Starts as many as are missing. */
  #fill(): void {
    if (this.#filling) clearTimeout(this.#filling);
    this.#filling = null;
    if (this.#stopping) return;
    const staying = this.workers.filter(({ dismissed }) => !dismissed).length;
    try {
      for (let missing = this.#options.size + this.#succession.pairs - staying; missing > 0; missing -= 1)
        this.#spawn();
    } catch (error) {
      this.#log.failed(error);
      this.#filling = setTimeout(() => this.#fill(), this.#respawn.delayAfter(false, performance.now()));
      this.#opening.failed(error, this.#serving, this.#respawn.failures);
    }
  }

  #spawn(): ManagedWorker {
    const id = this.#nextId++;
    const tidings: WorkerTidings = {
      vitals: (vitals) => this.#options.vitals(id, vitals),
      observed: this.#options.observed,
      refused: (refusal) => this.#options.refused?.(refusal),
      learned: (certificates) => {
        const news = this.#issuers.learn(certificates);
        if (news.length === 0) return;
        for (const other of this.#workers.values()) if (other !== worker) other.learn(news);
      },
      settled: () => {},
      replaceMe: () => this.#replace(worker),
    };
    const worker = new ManagedWorker(id, this.#options.spawn(id), tidings, (error) => this.#log.failed(error));
    this.#workers.set(id, worker);
    void worker.exited.then((how) => this.#exited(worker, how));
    worker.begins(this.#begin(worker));
    worker.serves.then(
      () => this.#serves(worker),
      (error) => this.#failed(worker, error),
    );
    return worker;
  }

  async #begin(worker: ManagedWorker): Promise<void> {
    const sockets = await this.#opening.sockets;
    await worker.begin({ ...this.#options.beginning, protocol }, this.#options.configuration(worker.id), sockets);
    if (this.#logLevel !== null) worker.setLogLevel(this.#logLevel);
    worker.learn(this.#issuers.all);
    await this.distribution.bringUp(worker);
    await worker.listen();
    // Unless it was told to leave meanwhile.
    if (worker.state === 'joining') worker.state = 'serving';
  }

  #serves(worker: ManagedWorker): void {
    this.#respawn.served();
    this.#log.serves(worker);
    this.#opening.served(this.#serving);
    this.#options.changed();
  }

  /** It cannot do what it should: without it, another one can be tried. */
  #failed(worker: ManagedWorker, error: unknown): void {
    if (worker.state === 'gone' || this.#stopping) return;
    worker.failure = error;
    this.#log.failed(error);
    worker.kill('SIGKILL');
  }

  #exited(worker: ManagedWorker, how: string): void {
    this.#workers.delete(worker.id);
    const died = !worker.dismissed && !this.#stopping;
    this.#options.gone(worker.id, died);
    // Who was to take a place, and did not get as far, is not missed: it is told to whoever wanted the replacement.
    if (died && !this.#succession.predecessorOf(worker)) this.#replaceDead(worker, how);
    else if (died) this.#fill();
    this.#options.changed();
  }

  #replaceDead(worker: ManagedWorker, how: string): void {
    const wait = this.#respawn.delayAfter(worker.served, performance.now());
    this.#log.died(worker, how, wait);
    this.#opening.failed(
      worker.failure ?? new Error(`worker ${worker.id} ended with ${how}`),
      this.#serving,
      this.#respawn.failures,
    );
    if (wait === 0) this.#fill();
    else this.#filling ??= setTimeout(() => this.#fill(), wait);
  }

  #silent(worker: ManagedWorker): void {
    this.#log.silent(worker);
    worker.kill('SIGKILL');
  }

  /** The connections of all workers. */
  summaries(): Promise<ConnectionSummary[]> {
    return this.ask((worker) => worker.summary());
  }
}
