import { readdir } from 'node:fs/promises';
import { resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { AdminServer } from './admin/index.ts';
import {
  type CertificateSource,
  issueDevelopmentCertificate,
  PemDirectorySource,
  PemFilesSource,
} from './certificates/index.ts';
import { type Config, demoTarget } from './config/index.ts';
import { ConnectionRegistry, type StopResult } from './connections/index.ts';
import { catalogue, coded, type Finding, finding, SwivelError } from './errors.ts';
import { FileWatchService, findFileMounts } from './files/index.ts';
import { Conditions, createLogger, createMetrics, type Logger } from './observe/index.ts';
import { FrontDoor } from './proxy/index.ts';
import { Journal, LocalPublisher, Reconciler, type Report } from './rotation/index.ts';
import { ContextStore, formatAddress, type ListenAddress, TlsListener } from './tls/index.ts';
import { type DemoUpstream, startDemoUpstream, Upstream } from './upstream/index.ts';

/** Readiness turns on these conditions. */
const requiredForReadiness = ['Serving', 'CertificatesValid'];
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
  const conditions = new Conditions(requiredForReadiness);
  conditions.set('Serving', false, 'Starting', 'not listening yet');

  await issueMissingDevelopmentCertificates(config, logger);
  const store = new ContextStore({
    unknownName: config.tls.unknownName,
    ...(config.tls.defaultCertificate === undefined ? {} : { defaultCertificate: config.tls.defaultCertificate }),
  });
  const connections = new ConnectionRegistry(config.drain, metrics, logger);
  const publisher = new LocalPublisher(store, connections);
  const journal = new Journal(metrics, conditions, logger);
  const reconciler = new Reconciler(createSources(config), publisher, journal, logger, { loadTimeout });
  const first = await reconciler.runOnce('start');
  if (store.current.served.size === 0) throw nothingServable(first);

  for (const warning of await inspectMounts(config))
    logger.warn({ event: 'warning', ...coded(warning) }, warning.message);

  const demo = usesDemo(config) ? await startDemoUpstream() : null;
  const upstreams = createUpstreams(config, demo, metrics, logger);
  const door = new FrontDoor(
    store,
    connections,
    upstreams,
    {
      ...config.proxy,
      routes: (config.routes ?? []).map(({ upstream, hosts, path }) => ({
        upstream,
        ...(hosts ? { hosts } : {}),
        ...(path === undefined ? {} : { path }),
      })),
      certificateHeader: config.proxy.certificateHeader ?? null,
      access: config.log.access,
    },
    metrics,
    logger,
  );
  const { ciphers, ...tls } = config.tls;
  const listeners = config.listeners.map(
    ({ address }) => new TlsListener(address, store, { ...tls, ...(ciphers === undefined ? {} : { ciphers }) }, door),
  );
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
  const sources = { version, startedAt, conditions, publisher, journal, connections };
  const adminOptions = { ...(config.admin.tokenFile === undefined ? {} : { tokenFile: config.admin.tokenFile }) };
  const admin =
    config.admin.address === 'off'
      ? null
      : new AdminServer({ ...adminOptions, address: config.admin.address }, sources, metrics, reconciler);

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

/** The sources of a configuration, in its order. */
export function createSources(config: Config): CertificateSource[] {
  return config.certificates.map(({ path, cert, key, passphraseFile, names }) => {
    if (path !== undefined) return new PemDirectorySource(path, names);
    return new PemFilesSource({
      cert: cert ?? '',
      key: key ?? '',
      ...(passphraseFile === undefined ? {} : { passphraseFile }),
      ...(names === undefined ? {} : { names }),
    });
  });
}

/** What is wrong with the way the certificates are mounted. */
export async function inspectMounts(config: Config): Promise<Finding[]> {
  const paths = config.certificates.flatMap(({ path, cert, key }) =>
    [path, cert, key].filter((one) => one !== undefined),
  );
  const mounts = await findFileMounts(paths);
  return mounts.map((file) =>
    finding('MOUNT_SINGLE_FILE', 'warning', { file, message: `${file} is mounted by itself` }),
  );
}

async function issueMissingDevelopmentCertificates(config: Config, logger: Logger): Promise<void> {
  for (const { path, development } of config.certificates) {
    if (path === undefined || !development) continue;
    const present = await readdir(path).catch((): string[] => []);
    if (present.includes('tls.crt') && present.includes('tls.key')) continue;
    const issued = await issueDevelopmentCertificate(path, development);
    logger.info({ event: 'development-certificate', file: issued.certificateFile }, 'issued a development certificate');
  }
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

/** The error of a start without a single certificate, with every reason. */
function nothingServable(report: Report): SwivelError {
  const reasons: Finding[] = [...report.failures];
  for (const { error } of report.verdicts) if (error) reasons.push(error);
  const lines = reasons.map(({ code, message, file, remedy }) => {
    const where = file !== undefined && !message.includes(file) ? ` (${file})` : '';
    return `\n  ${code}: ${message}${where}; ${remedy}`;
  });
  const remedy = `correct what follows, or run swivel dev-cert --out DIR for a development certificate${lines.join('')}`;
  return new SwivelError('NOTHING_SERVABLE', catalogue.NOTHING_SERVABLE.summary, { remedy });
}

function logStart(
  logger: Logger,
  version: string,
  listeners: readonly TlsListener[],
  admin: ListenAddress | null,
  first: Report,
): void {
  const served = first.verdicts.filter((verdict) => verdict.served);
  for (const { id, served: identity } of served) {
    const { fingerprint256, notAfter } = identity?.leaf ?? { fingerprint256: '', notAfter: 0 };
    const line = { event: 'serving', certificate: id, names: identity?.names, fingerprint256 };
    logger.debug({ ...line, notAfter: new Date(notAfter).toISOString() }, 'serving certificate');
  }
  logger.info(
    {
      event: 'listening',
      version,
      addresses: listeners.map(String),
      admin: admin ? formatAddress(admin) : 'off',
      certificates: served.length,
    },
    `listening on ${listeners.map(String).join(', ')}`,
  );
}

/** Where the demo keeps its certificates, for the lines that `serve` prints; null when it is not the demo that runs. */
export function demoDirectory(config: Config): string | null {
  const development = config.certificates.find((certificate) => certificate.development);
  return usesDemo(config) && development?.path !== undefined ? resolve(development.path) : null;
}
