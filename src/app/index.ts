import { resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { AdminServer, type StatusSources } from '../admin/index.ts';
import {
  disableCoreDumps,
  findInspector,
  type Identity,
  type Observe,
  privilegeFindings,
  refuseInspector,
  type Serving,
  thisMachine,
  workerIdentity,
  workersFor,
} from '../cluster/index.ts';
import type { Config } from '../config/index.ts';
import type { StopResult } from '../connections/index.ts';
import { catalogue, coded } from '../errors.ts';
import { FileWatchService } from '../files/index.ts';
import { Conditions, createLogger, createMetrics, type Logger, type Metrics } from '../observe/index.ts';
import { collectGarbage, DataPlane, planeConfig, storeOptions } from '../plane/index.ts';
import { Journal, Reconciler, type Report } from '../rotation/index.ts';
import { ContextStore, formatAddress, type ListenAddress, type Refusal } from '../tls/index.ts';
import { demoTarget, startDemoUpstream } from '../upstream/index.ts';
import { logStart, nothingServable } from './announce.ts';
import { OneProcess } from './one-process.ts';
import { activationOptions, readinessConditions } from './options.ts';
import { createSources, inspectMounts } from './sources.ts';
import { Workers } from './workers.ts';

export { activationOptions } from './options.ts';
export { createSources, inspectMounts } from './sources.ts';

/** Milliseconds after which reading one source counts as failed. */
const loadTimeout = 10_000;

/** A running Swivel. */
export interface Running {
  readonly logger: Logger;
  readonly listeners: readonly ListenAddress[];
  /** Null when the admin endpoints are off. */
  readonly admin: ListenAddress | null;
  /** Reconciles now. */
  reload(): Promise<Report>;
  setLogLevel(level: string): void;
  /** Stops gracefully: readiness first, then the listeners, then every connection by its drain. */
  stop(): Promise<StopResult>;
  /** Cuts what a graceful stop still waits for. */
  abandon(): void;
}

/**
 * Builds everything and starts it.
 * @param version shown in status and metrics
 * @throws SwivelError NOTHING_SERVABLE (after the reasons were logged), LISTEN_FAILED, WORKERS_FAILED
 */
export async function start(config: Config, version: string): Promise<Running> {
  const startedAt = new Date();
  const logger = createLogger(config.log);
  const metrics = createMetrics({ version, processMetrics: true });
  const conditions = new Conditions(readinessConditions(config));
  conditions.set('Serving', false, 'Starting', 'not listening yet');
  guardKeys(config, conditions, logger);

  const demo = usesDemo(config) ? await startDemoUpstream() : null;
  const store = new ContextStore(storeOptions(config));
  const observe: Observe = (...handshake) => reconciler.observe(...handshake);
  let where: string | null = null;
  const able = (workers: number) => {
    if (where === null) return;
    if (workers > 0) conditions.set('Serving', true, 'Listening', where);
    else conditions.set('Serving', false, 'NoWorkers', 'no worker serves; connections wait for one');
  };
  const refused = (refusal: Refusal) => reconciler.refused(refusal);
  store.onRefused(refused);
  const surroundings = { metrics, logger, observe };
  const demoUrl = demo?.url ?? null;
  const processes = processesFor(config);
  const serving: Serving =
    processes === null
      ? new OneProcess(new DataPlane(planeConfig(config, demoUrl), store, surroundings), version)
      : new Workers(config, store, { ...surroundings, ...processes, demo: demoUrl, conditions, able, refused });
  const { publisher } = serving;
  const journal = new Journal(metrics, conditions, logger);
  const reconciler = new Reconciler(createSources(config, logger), publisher, journal, logger, {
    loadTimeout,
    activation: activationOptions(config),
  });
  const watch = createWatch(config, conditions, logger);
  const admin = createAdmin(
    config,
    { version, startedAt, conditions, publisher, journal, serving, reconciler },
    metrics,
  );
  const closeAll = async () => {
    reconciler.stop();
    await serving.close();
    await watch.close();
    demo?.close();
    admin?.close();
  };

  let first: Report;
  let listeners: readonly ListenAddress[];
  let adminAddress: ListenAddress | null;
  // Until there is a listener nothing else does: neither a source that hangs nor a thread that reads slowly.
  const awake = setInterval(() => {}, loadTimeout);
  try {
    first = await reconciler.runOnce('start');
    if (store.current.served.size === 0) {
      await warnOfMounts(config, first, logger);
      throw nothingServable(first);
    }
    collectGarbage(first.verdicts.length);
    adminAddress = (await admin?.open()) ?? null;
    listeners = await serving.open();
    // Nobody has to wait for it: it looks at every file.
    void warnOfMounts(config, first, logger);
  } catch (error) {
    await closeAll();
    throw error;
  } finally {
    clearInterval(awake);
  }
  if (config.watch.mode !== 'off') reconciler.follow(watch);
  where = listeners.map(formatAddress).join(', ');
  conditions.set('Serving', true, 'Listening', where);
  logStart(logger, version, listeners, adminAddress, first);

  let stopping: Promise<StopResult> | null = null;
  const abandoned = new AbortController();
  const stop = async (): Promise<StopResult> => {
    where = null;
    serving.hold();
    conditions.set('Serving', false, 'Stopping', 'stopping gracefully');
    logger.info({ event: 'stopping' }, 'stopping');
    if (config.drain.readinessDelay > 0) {
      await delay(config.drain.readinessDelay, null, { signal: abandoned.signal }).catch(() => {});
    }
    const result = await serving.stop();
    await closeAll();
    return result;
  };
  return {
    logger,
    listeners,
    admin: adminAddress,
    reload: () => reconciler.runOnce('signal'),
    setLogLevel: (level) => {
      logger.level = level;
      serving.setLogLevel(level);
    },
    stop: () => {
      stopping ??= stop();
      return stopping;
    },
    abandon: () => {
      abandoned.abort();
      serving.abandon();
    },
  };
}

async function warnOfMounts(config: Config, { verdicts }: Report, logger: Logger): Promise<void> {
  for (const warning of await inspectMounts(config, verdicts)) {
    logger.warn({ event: 'warning', ...coded(warning) }, warning.message);
  }
}

/** How many workers serve, and as whom; null when this process serves itself. */
function processesFor(config: Config): { readonly size: number; readonly identity: Identity | null } | null {
  const size = config.workers === 'auto' ? workersFor(thisMachine()) : config.workers;
  const identity = workerIdentity(config.process);
  // Another user can only be another process: this one has to go on reading the keys.
  return size === 1 && identity === null ? null : { size, identity };
}

/** Sees to it that keys can be got from no core dump and no inspector, and tells as whom connections are served. */
function guardKeys(config: Config, conditions: Conditions, logger: Logger): void {
  const { inspect, coreDumps, user } = config.process;
  const dropsTo = workerIdentity(config.process);
  const { findings, condition } = privilegeFindings({
    uid: process.getuid?.(),
    gid: process.getgid?.(),
    dropsTo,
    user,
  });
  conditions.set('Unprivileged', condition.status, condition.reason, condition.message);
  const dumps = coreDumps ? null : disableCoreDumps();
  const inspector = inspect ? null : processesFor(config) === null ? findInspector() : refuseInspector();
  for (const warning of [...findings, dumps, inspector]) {
    if (warning) logger.warn({ event: 'warning', ...coded(warning) }, warning.message);
  }
}

function createWatch(config: Config, conditions: Conditions, logger: Logger): FileWatchService {
  conditions.set('WatchingEvents', true, 'Watching', 'changes are told by the system');
  return new FileWatchService(config.watch, logger, (reason) => {
    const { remedy } = catalogue.WATCH_UNAVAILABLE;
    logger.warn({ code: 'WATCH_UNAVAILABLE', reason, remedy }, 'files are polled, not watched');
    const message = `files are polled every ${config.watch.pollInterval} ms: ${reason}`;
    conditions.set('WatchingEvents', false, 'Polling', message);
  });
}

function createAdmin({ admin }: Config, sources: StatusSources, metrics: Metrics): AdminServer | null {
  if (admin.address === 'off') return null;
  const options = { address: admin.address, ...(admin.tokenFile === undefined ? {} : { tokenFile: admin.tokenFile }) };
  return new AdminServer(options, sources, metrics);
}

function usesDemo(config: Config): boolean {
  return Object.values(config.upstreams).some(({ targets }) => targets.includes(demoTarget));
}

/** Where the demo keeps its certificates, for the lines that `serve` prints; null when it is not the demo that runs. */
export function demoDirectory(config: Config): string | null {
  const development = config.certificates.find((certificate) => certificate.development);
  return usesDemo(config) && development?.path !== undefined ? resolve(development.path) : null;
}
