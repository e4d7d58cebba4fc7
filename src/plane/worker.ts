import {
  dropPrivileges,
  Observations,
  onOrphaned,
  refuseInspector,
  setNiceness,
  Worker,
  wireToPrimary,
} from '../cluster/index.ts';
import { createLogger, createTrafficMetrics, type Reading, Sheet } from '../observe/index.ts';
import { ContextStore, rehearse } from '../tls/index.ts';
import { collectGarbage } from './collect-garbage.ts';
import { DataPlane } from './data-plane.ts';
import { type PlaneConfig, storeOptions } from './options.ts';

/** What a worker is told. */
export interface WorkerConfiguration {
  readonly worker: number;
  readonly plane: PlaneConfig;
  /** Whether there are files to count in. */
  readonly hasCounts: boolean;
}

/** Descriptors of the files to count in, as the primary hands them down. */
const countsFiles = { counts: 4, series: 5 };

/** Milliseconds within which a signal to a group has reached all of it. */
const groupDelay = 200;

/** Serves as a worker of the process that started this one. @returns the exit code, once there is nothing left to serve */
export async function work(version: string): Promise<number> {
  let counted: () => Reading | null = () => null;
  const worker = new Worker(wireToPrimary(), {
    version,
    begin: ({ user, inspect, niceness }) => {
      setNiceness(niceness);
      if (user) dropPrivileges(user);
      if (!inspect) refuseInspector();
    },
    createPlane: (configuration, primary) => {
      const { worker: id, plane: config, hasCounts } = configuration as WorkerConfiguration;
      const sheet = new Sheet(hasCounts ? countsFiles : undefined);
      if (!hasCounts) counted = () => sheet.read();
      const logger = createLogger(config.log, undefined, { worker: id });
      // What is to be served was rehearsed by the primary.
      const { rehearsal, ...options } = storeOptions(config);
      const store = new ContextStore(options);
      const observations = new Observations((some) => primary.tell('observed', some));
      const plane = new DataPlane(config, store, {
        metrics: createTrafficMetrics(sheet),
        logger,
        observe: (id, fingerprint, refused) => {
          if (store.current.canaries.has(id)) observations.note(id, fingerprint, refused);
        },
        peers: {
          learned: (certificates) => primary.tell('learned', certificates),
          settled: () => primary.call('settled', null),
        },
      });
      plane.publisher.confirmBy(async ({ id }) => {
        const served = store.current.served.get(id);
        return served && rehearsal ? (await rehearse(served, store.current, rehearsal)) === null : null;
      });
      store.onRefused((refusal) => primary.tell('refused', refusal));
      store.onCommit(({ number }) => {
        const at = performance.timeOrigin + performance.now();
        logger.debug({ event: 'generation', generation: number, at }, 'serves another generation');
      });
      return plane;
    },
    beforeListening: collectGarbage,
    vitals: () => {
      const { user, system } = process.cpuUsage();
      return { memory: process.memoryUsage.rss(), cpu: (user + system) / 1e6, counts: counted() };
    },
  });
  onOrphaned(() => void worker.orphaned());
  // The terminal and the service manager signal every process of a group: what is to happen is up to the primary.
  for (const signal of ['SIGINT', 'SIGHUP', 'SIGUSR2'] as const) process.on(signal, () => {});
  // Where it comes to all of them, the primary has its own by then, and nobody is replaced.
  process.on('SIGTERM', () => setTimeout(() => worker.askToBeReplaced(), groupDelay));
  await worker.ended;
  return 0;
}
