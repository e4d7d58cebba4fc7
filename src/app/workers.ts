import {
  bind,
  ClusterPublisher,
  Fleet,
  goFirst,
  type Identity,
  type ManagedWorker,
  type Observe,
  type Replacement,
  type Serving,
  spawnWorker,
  type WorkerProcess,
  type WorkerStatus,
  withoutInspection,
} from '../cluster/index.ts';
import type { Config } from '../config/index.ts';
import type { ConnectionSummary, StopResult } from '../connections/index.ts';
import { coded } from '../errors.ts';
import {
  type Conditions,
  CopyReader,
  type Logger,
  type Metrics,
  openSheetFiles,
  type SheetFiles,
} from '../observe/index.ts';
import { planeConfig, type WorkerConfiguration } from '../plane/index.ts';
import type { ContextStore, ListenAddress, Refusal } from '../tls/index.ts';

export interface WorkersOptions {
  readonly size: number;
  /** Whom workers run as; null: as this process. */
  readonly identity: Identity | null;
  readonly demo: URL | null;
  readonly metrics: Metrics;
  readonly conditions: Conditions;
  readonly logger: Logger;
  readonly observe: Observe;
  /** Told of certificates that turned out to be of no use when a client wanted them. */
  readonly refused: (refusal: Refusal) => void;
  /** Told how many workers accept connections, each time that may have changed. */
  readonly able: (workers: number) => void;
}

/** Milliseconds beyond the drain timeout after which a worker that does not end is killed. */
const stopReserve = 5000;

/** Serves in worker processes; this one only tells them what to serve. */
export class Workers implements Serving {
  readonly publisher: ClusterPublisher;
  readonly #config: Config;
  readonly #store: ContextStore;
  readonly #options: WorkersOptions;
  readonly #fleet: Fleet;
  readonly #counts = new Map<number, { readonly files: SheetFiles | null; readonly copy: CopyReader }>();
  readonly #uninspected: ReturnType<typeof withoutInspection>;
  #sockets: readonly { readonly address: ListenAddress; close(): void }[] = [];

  /** Starts the processes; they serve once `open` is called. @param store of the primary, which serves nobody */
  constructor(config: Config, store: ContextStore, options: WorkersOptions) {
    this.#config = config;
    this.#store = store;
    this.#options = options;
    const { inspect } = config.process;
    const { env, execArgv } = process;
    this.#uninspected = inspect ? { env, execArgv, refused: null } : withoutInspection(env, execArgv);
    const { refused } = this.#uninspected;
    if (refused) options.logger.warn({ event: 'warning', ...coded(refused) }, refused.message);
    this.#fleet = new Fleet(
      {
        size: options.size,
        beginning: { user: options.identity, inspect, niceness: goFirst() },
        configuration: (id) => this.#configurationOf(id),
        stopTimeout: config.drain.timeout + stopReserve,
        spawn: (id) => this.#spawn(id),
        gone: (id, died) => this.#gone(id, died),
        vitals: (id, { counts }) => {
          if (counts !== null) this.#counts.get(id)?.copy.accept(counts);
        },
        observed: (observations) => {
          for (const { id, fingerprint, handshakes, refused: no } of observations) {
            if (handshakes > 0) options.observe(id, fingerprint, false, handshakes);
            if (no > 0) options.observe(id, fingerprint, true, no);
          }
        },
        refused: options.refused,
        changed: () => this.#show(),
      },
      store,
      options.logger,
    );
    this.publisher = new ClusterPublisher(store, this.#fleet, () => this.#sockets.map(({ address }) => address));
    this.#fleet.start();
  }

  async open(): Promise<readonly ListenAddress[]> {
    const sockets = [];
    for (const { address } of this.#config.listeners) {
      const socket = await bind(address);
      sockets.push(socket);
      this.#sockets = sockets;
    }
    await this.#fleet.open(sockets.map(({ handle }) => handle));
    return sockets.map(({ address }) => address);
  }

  async summary(): Promise<ConnectionSummary> {
    const summaries = await this.#fleet.summaries();
    const byCertificate: Record<string, { current: number; draining: number }> = {};
    for (const one of summaries) {
      for (const [id, { current, draining }] of Object.entries(one.byCertificate)) {
        const sum = byCertificate[id] ?? { current: 0, draining: 0 };
        byCertificate[id] = { current: sum.current + current, draining: sum.draining + draining };
      }
    }
    const sumOf = (of: 'open' | 'draining') => summaries.reduce((sum, one) => sum + one[of], 0);
    return { open: sumOf('open'), draining: sumOf('draining'), byCertificate };
  }

  workers(): WorkerStatus[] {
    return this.#fleet.workers.map((worker) => ({
      id: worker.id,
      pid: worker.pid,
      generation: worker.have?.number ?? null,
      state: stateOf(worker, this.#fleet.isSilent(worker)),
      version: worker.version,
      startedAt: worker.startedAt.toISOString(),
    }));
  }

  restart(): Promise<readonly Replacement[]> {
    return this.#fleet.restart();
  }

  setLogLevel(level: string): void {
    this.#fleet.setLogLevel(level);
  }

  hold(): void {
    this.#fleet.hold();
  }

  async stop(): Promise<StopResult> {
    // The workers' copies keep the queue.
    this.#closeSockets();
    return this.#fleet.stop();
  }

  abandon(): void {
    this.#fleet.abandon();
  }

  async close(): Promise<void> {
    this.#fleet.close();
    this.#closeSockets();
  }

  #closeSockets(): void {
    for (const socket of this.#sockets) socket.close();
    this.#sockets = [];
  }

  #configurationOf(id: number): WorkerConfiguration {
    const { demo, logger } = this.#options;
    const { log, ...rest } = planeConfig(this.#config, demo);
    return {
      worker: id,
      plane: { ...rest, log: { ...log, level: logger.level as typeof log.level } },
      hasCounts: this.#counts.get(id)?.files !== null,
    };
  }

  #spawn(id: number): WorkerProcess {
    const files = openSheetFiles();
    const copy = new CopyReader();
    this.#counts.set(id, { files, copy });
    this.#options.metrics.sheets.attach(id, files?.reader ?? copy);
    const { env, execArgv } = this.#uninspected;
    // As it was started, so that a link that leads to another version by now is followed.
    const program = process.argv[1] ?? '';
    try {
      return spawnWorker({ program, env, execArgv, descriptors: files ? [files.counts, files.series] : [] });
    } catch (error) {
      this.#gone(id, false);
      throw error;
    }
  }

  #gone(id: number, died: boolean): void {
    const { metrics } = this.#options;
    metrics.sheets.retire(id);
    this.#counts.get(id)?.files?.close();
    this.#counts.delete(id);
    const labels = { worker: String(id) };
    for (const family of [metrics.workerGeneration, metrics.workerMemory, metrics.workerCpu]) family.remove(labels);
    if (died) metrics.workerDeaths.inc();
  }

  /** Brings metrics and conditions up to date. */
  #show(): void {
    const { metrics, conditions } = this.#options;
    const current = this.#store.current;
    const counts = { serving: 0, starting: 0, draining: 0, lagging: 0 };
    const behind: string[] = [];
    let able = 0;
    for (const worker of this.#fleet.workers) {
      const state = stateOf(worker, this.#fleet.isSilent(worker));
      const lags = worker.state === 'serving' && (state === 'silent' || worker.have !== current);
      if (lags) behind.push(`${worker.id} (process ${worker.pid}, generation ${worker.have?.number ?? 'none'})`);
      counts[lags ? 'lagging' : labelOf(worker)] += 1;
      if (state === 'serving') able += 1;
      const labels = { worker: String(worker.id) };
      metrics.workerGeneration.set(labels, worker.have?.number ?? 0);
      if (!worker.vitals) continue;
      metrics.workerMemory.set(labels, worker.vitals.memory);
      metrics.workerCpu.remove(labels);
      metrics.workerCpu.inc(labels, worker.vitals.cpu);
    }
    for (const [state, count] of Object.entries(counts)) metrics.workers.set({ state }, count);
    this.#showServing(able);
    if (behind.length === 0) conditions.set('WorkersInSync', true, 'InSync', `generation ${current.number} everywhere`);
    else {
      const why = `not at generation ${current.number}: worker ${behind.join(', ')}; replaced if it stays so`;
      conditions.set('WorkersInSync', false, 'Lagging', why);
    }
  }

  /** @param able workers that accept connections */
  #showServing(able: number): void {
    const { size, conditions } = this.#options;
    const how = `${able} of ${size} workers serve`;
    conditions.set('WorkersServing', able >= size, able >= size ? 'Serving' : 'Missing', how);
    this.#options.able(able);
  }
}

function stateOf({ state }: ManagedWorker, isSilent: boolean): WorkerStatus['state'] {
  if (isSilent) return 'silent';
  return state === 'serving' || state === 'leaving' ? state : 'starting';
}

function labelOf({ state }: ManagedWorker): 'serving' | 'starting' | 'draining' {
  if (state === 'leaving') return 'draining';
  return state === 'serving' ? 'serving' : 'starting';
}
