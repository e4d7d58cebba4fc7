import { resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { AdminServer } from '../admin/index.ts';
import { type Config, demoTarget } from '../config/index.ts';
import { ConnectionRegistry, type StopResult } from '../connections/index.ts';
import { catalogue, coded } from '../errors.ts';
import { FileWatchService } from '../files/index.ts';
import { Conditions, createLogger, createMetrics, type Logger } from '../observe/index.ts';
import { FrontDoor } from '../proxy/index.ts';
import { Journal, LocalPublisher, Reconciler, type Report } from '../rotation/index.ts';
import { ContextStore, type ListenAddress, showsOutside, TlsListener } from '../tls/index.ts';
import { type DemoUpstream, startDemoUpstream, Upstream } from '../upstream/index.ts';
import { logStart, nothingServable } from './announce.ts';
import {
  activationOptions,
  clientRules,
  doorOptions,
  listenerOptions,
  readinessConditions,
  storeOptions,
} from './options.ts';
import { createSources, inspectMounts } from './sources.ts';

export { activationOptions, storeOptions } from './options.ts';
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
  /** Stops gracefully: readiness first, then the listeners, then every connection by its drain. */
  stop(): Promise<StopResult>;
  /** Cuts what a graceful stop still waits for. */
  abandon(): void;
}

/**
 * Builds everything and starts it.
 * @param version shown in status and metrics
 * @throws SwivelError NOTHING_SERVABLE (after the reasons were logged), LISTEN_FAILED
 */
export async function start(config: Config, version: string): Promise<Running> {
  const startedAt = new Date();
  const logger = createLogger(config.log);
  const metrics = createMetrics({ version, processMetrics: true });
  const conditions = new Conditions(readinessConditions(config));
  conditions.set('Serving', false, 'Starting', 'not listening yet');

  const store = new ContextStore(storeOptions(config));
  const connections = new ConnectionRegistry(config.drain, metrics, logger);
  const publisher = new LocalPublisher(store, connections, config.drain.untrusted);
  const journal = new Journal(metrics, conditions, logger);
  const reconciler = new Reconciler(createSources(config, logger), publisher, journal, logger, {
    loadTimeout,
    activation: activationOptions(config),
  });
  const first = await reconciler.runOnce('start');
  for (const warning of await inspectMounts(config, first.verdicts)) {
    logger.warn({ event: 'warning', ...coded(warning) }, warning.message);
  }
  if (store.current.served.size === 0) throw nothingServable(first);

  const demo = usesDemo(config) ? await startDemoUpstream() : null;
  const upstreams = createUpstreams(config, demo, metrics, logger);
  const observe: typeof reconciler.observe = (...handshake) => reconciler.observe(...handshake);
  const door = new FrontDoor(store, connections, upstreams, { ...doorOptions(config), observe }, metrics, logger);
  const listeners = config.listeners.map((listener) => {
    const rules = clientRules(listener);
    return new TlsListener(listener.address, store, listenerOptions(config, rules), door.eventsFor(rules));
  });
  conditions.set('WatchingEvents', true, 'Watching', 'changes are told by the system');
  const watch = new FileWatchService(config.watch, logger, (reason) => {
    const { remedy } = catalogue.WATCH_UNAVAILABLE;
    logger.warn({ code: 'WATCH_UNAVAILABLE', reason, remedy }, 'files are polled, not watched');
    conditions.set(
      'WatchingEvents',
      false,
      'Polling',
      `files are polled every ${config.watch.pollInterval} ms: ${reason}`,
    );
  });
  const sources = { version, startedAt, conditions, publisher, journal, connections, reconciler };
  const adminOptions = { ...(config.admin.tokenFile === undefined ? {} : { tokenFile: config.admin.tokenFile }) };
  const admin =
    config.admin.address === 'off'
      ? null
      : new AdminServer({ ...adminOptions, address: config.admin.address }, sources, metrics);

  const closeAll = async () => {
    reconciler.stop();
    for (const listener of listeners) listener.close();
    door.close();
    await watch.close();
    await Promise.all([...upstreams.values()].map((upstream) => upstream.close()));
    demo?.close();
    admin?.close();
  };
  let adminAddress: ListenAddress | null = null;
  try {
    adminAddress = (await admin?.open()) ?? null;
    for (const listener of listeners) await listener.open();
  } catch (error) {
    await closeAll();
    throw error;
  }
  publisher.confirmBy(async (identity) => {
    const name = store.nameFor(identity);
    if (name === undefined) return null;
    const answers = await Promise.all(listeners.map(({ address }) => showsOutside(address, identity, name)));
    return answers.includes(false) ? false : (answers[0] ?? null);
  });
  if (config.watch.mode !== 'off') reconciler.follow(watch);
  conditions.set('Serving', true, 'Listening', listeners.map(String).join(', '));
  logStart(logger, version, listeners, adminAddress, first);

  let stopping: Promise<StopResult> | null = null;
  const abandoned = new AbortController();
  const stop = async (): Promise<StopResult> => {
    conditions.set('Serving', false, 'Stopping', 'stopping gracefully');
    logger.info({ event: 'stopping', connections: connections.size }, 'stopping');
    if (config.drain.readinessDelay > 0) {
      await delay(config.drain.readinessDelay, null, { signal: abandoned.signal }).catch(() => {});
    }
    for (const listener of listeners) listener.close();
    const stopped = connections.stop();
    if (abandoned.signal.aborted) connections.destroyAll();
    else abandoned.signal.addEventListener('abort', () => connections.destroyAll());
    const result = await stopped;
    await closeAll();
    return result;
  };
  return {
    logger,
    listeners: listeners.map((listener) => listener.address),
    admin: adminAddress,
    reload: () => reconciler.runOnce('signal'),
    stop: () => {
      stopping ??= stop();
      return stopping;
    },
    abandon: () => abandoned.abort(),
  };
}

function usesDemo(config: Config): boolean {
  return Object.values(config.upstreams).some(({ targets }) => targets.includes(demoTarget));
}

function createUpstreams(
  config: Config,
  demo: DemoUpstream | null,
  metrics: ConstructorParameters<typeof Upstream>[3],
  logger: Logger,
): Map<string, Upstream> {
  const options = { ...config.proxy, idleTimeout: config.proxy.bodyTimeout };
  return new Map(
    Object.entries(config.upstreams).map(([name, { targets }]) => {
      const urls = targets.map((target) => (target === demoTarget && demo ? demo.url : new URL(target)));
      return [name, new Upstream(name, urls, options, metrics, logger)];
    }),
  );
}

/** Where the demo keeps its certificates, for the lines that `serve` prints; null when it is not the demo that runs. */
export function demoDirectory(config: Config): string | null {
  const development = config.certificates.find((certificate) => certificate.development);
  return usesDemo(config) && development?.path !== undefined ? resolve(development.path) : null;
}
