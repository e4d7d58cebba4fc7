import type { Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import { Secret, type TrustBundle, type ValidatedIdentity, validate } from '../../src/certificates/index.ts';
import { type Connection, ConnectionRegistry, type DrainOptions } from '../../src/connections/index.ts';
import { createLogger, createMetrics, type Metrics } from '../../src/observe/index.ts';
import {
  type ClientRules,
  FrontDoor,
  type FrontDoorOptions,
  openToAll,
  type RouteOptions,
} from '../../src/proxy/index.ts';
import { ContextStore, TlsListener, type TlsOptionsOfListener } from '../../src/tls/index.ts';
import { Upstream, type UpstreamOptions } from '../../src/upstream/index.ts';
import { type Authority, createAuthority, type Leaf } from './pki.ts';

/** Longer than any test takes: a test that waits for an event that never comes fails instead of hanging. */
export const bounded = { timeout: 60_000 };

/** For suites whose tests mostly wait for a timeout. */
export const atOnce = { concurrency: true };

/** Parts of the program that answer for themselves here; what is left out has a value that suits most tests. */
export interface FrontDoorSetup {
  /** Targets of the one upstream, `default`. */
  readonly upstream?: string | readonly string[];
  /** Several upstreams, by name. */
  readonly upstreams?: Readonly<Record<string, readonly string[]>>;
  readonly routes?: readonly RouteOptions[];
  /** Names of each certificate, by its id; one for `localhost`, `app.test` and `*.app.test` when left out. */
  readonly certificates?: Readonly<Record<string, readonly string[]>>;
  readonly tls?: Partial<TlsOptionsOfListener>;
  readonly proxy?: Partial<FrontDoorOptions>;
  readonly timeouts?: Partial<UpstreamOptions>;
  readonly drain?: Partial<DrainOptions>;
  /** Whom it lets in by client certificate. */
  readonly clients?: ClientRules;
  readonly bundles?: readonly TrustBundle[];
  /** The address to listen on; 127.0.0.1 when left out. */
  readonly host?: string;
}

export interface TestFrontDoor {
  readonly port: number;
  /** PEM of the authority of every certificate. */
  readonly ca: string;
  readonly leaves: ReadonlyMap<string, Leaf>;
  readonly store: ContextStore;
  readonly connections: RecordingRegistry;
  readonly metrics: Metrics;
  readonly upstreams: ReadonlyMap<string, Upstream>;
  /** What was logged, parsed. */
  readonly log: readonly Record<string, unknown>[];
  /** Cuts every connection and closes everything. Called after the test by itself. */
  close(): Promise<void>;
}

/** A registry that remembers what it was given. */
export class RecordingRegistry extends ConnectionRegistry {
  /** Every connection ever accepted. */
  readonly accepted: Connection[] = [];

  override add(socket: Socket): Connection {
    const connection = super.add(socket);
    this.accepted.push(connection);
    return connection;
  }
}

let authority: Promise<Authority> | undefined;
/** Certificates of the doors of this process, by their ids and names: to issue one costs more than most tests. */
const issued = new Map<string, Promise<Leaf>>();

/** A leaf of the one authority; the same one whenever the same is asked for. */
function leafFor(issuer: Authority, id: string, names: readonly string[]): Promise<Leaf> {
  const key = JSON.stringify([id, names]);
  const leaf = issued.get(key) ?? issuer.issue({ names });
  issued.set(key, leaf);
  return leaf;
}

/** The rooms that serve requests, as the program puts them together, without files and rotation. */
export async function startFrontDoor(t: Pick<TestContext, 'after'>, setup: FrontDoorSetup): Promise<TestFrontDoor> {
  authority ??= createAuthority();
  const issuer = await authority;
  const metrics = createMetrics({ version: 'test' });
  const log: Record<string, unknown>[] = [];
  const logger = createLogger(
    { level: 'debug', format: 'json' },
    { write: (line) => log.push(JSON.parse(line) as Record<string, unknown>) },
  );
  const leaves = new Map<string, Leaf>();
  const certificates = setup.certificates ?? { app: ['localhost', 'app.test', '*.app.test'] };
  for (const [id, names] of Object.entries(certificates)) leaves.set(id, await leafFor(issuer, id, names));
  const store = new ContextStore({ unknownName: 'default' });
  const identities = [...leaves].map(toIdentity);
  (
    await store.prepare(
      { identities, canaries: [], bundles: setup.bundles ?? [], ticketKeys: store.ticketKeys },
      Date.now(),
    )
  ).commit();

  const drain = { timeout: 5000, spread: 0, upgraded: 5000, ...setup.drain };
  const connections = new RecordingRegistry(drain, metrics, logger);
  const timeouts = {
    connectTimeout: 2000,
    responseTimeout: 10_000,
    idleTimeout: 10_000,
    failTimeout: 60_000,
    ...setup.timeouts,
  };
  const groups = setup.upstreams ?? { default: [setup.upstream ?? []].flat() };
  const upstreams = new Map(
    Object.entries(groups).map(([name, targets]) => {
      const urls = targets.map((target) => new URL(target));
      return [name, new Upstream(name, urls, timeouts, metrics, logger)];
    }),
  );
  const options = {
    headersTimeout: 10_000,
    idleTimeout: 10_000,
    maxHeaderSize: 32 * 1024,
    maxConcurrentStreams: 128,
    routes: setup.routes ?? [{ upstream: Object.keys(groups)[0] ?? 'default' }],
    trustedProxies: [],
    certificateHeader: null,
    clientHeaders: {},
    access: true,
    ...setup.proxy,
  };
  const door = new FrontDoor(store, connections, upstreams, options, metrics, logger);
  const rules = setup.clients ?? openToAll;
  const tls = { minVersion: 'TLSv1.2', handshakeTimeout: 5000, sessionTimeout: 300_000, ...setup.tls } as const;
  const listener = new TlsListener(
    { host: setup.host ?? '127.0.0.1', port: 0 },
    store,
    { ...tls, requestsClientCertificates: rules.asks },
    door.eventsFor(rules),
  );
  await listener.open();

  let closing: Promise<void> | undefined;
  const closeAll = async () => {
    listener.close();
    connections.destroyAll();
    door.close();
    await Promise.all([...upstreams.values()].map((upstream) => upstream.close()));
  };
  const close = () => {
    closing ??= closeAll();
    return closing;
  };
  t.after(close);
  const { port } = listener.address;
  return { port, ca: issuer.certificatePem, leaves, store, connections, metrics, upstreams, log, close };
}

function toIdentity([id, leaf]: [string, Leaf]): ValidatedIdentity {
  const { identity, findings } = validate({
    id,
    source: 'test',
    files: { certificate: `${id}.crt`, key: `${id}.key` },
    certificatePem: leaf.chainPem,
    keyPem: new Secret(leaf.keyPem),
  });
  if (!identity) throw new Error(JSON.stringify(findings));
  return identity;
}

/** Resolves when something has come true: looked at in each turn of the event loop at first, later now and then. */
export async function eventually(isTrue: () => boolean | Promise<boolean>): Promise<void> {
  const tooLong = AbortSignal.timeout(bounded.timeout / 2);
  for (let turns = 0; !(await isTrue()); turns++) {
    tooLong.throwIfAborted();
    if (turns < 500) await nextTurn();
    else await delay(1);
  }
}

/** Lets come to an end what is under way in turns of the event loop and waits for nothing else, such as a run without files to read. */
export async function settle(): Promise<void> {
  for (let turns = 0; turns < 20; turns++) await nextTurn();
}

/** The value of a counter or gauge for some labels; 0 when it was never touched. */
export async function metricOf(
  metric: { get(): Promise<{ values: { value: number; labels: object }[] }> },
  labels: Record<string, string> = {},
): Promise<number> {
  const { values } = await metric.get();
  const wanted = Object.entries(labels);
  const found = values.filter((entry) =>
    wanted.every(([name, value]) => (entry.labels as Record<string, unknown>)[name] === value),
  );
  return found.reduce((sum, { value }) => sum + value, 0);
}

/** Every value of a metric, by its labels joined with a comma. */
export async function valuesOf(metric: {
  get(): Promise<{ values: { value: number; labels: object }[] }>;
}): Promise<Record<string, number>> {
  const { values } = await metric.get();
  return Object.fromEntries(values.map(({ value, labels }) => [Object.values(labels).join(','), value]));
}

/** Takes hold of the monotonic clock until the test is over: of all that is looked at now and then, and of no timer. */
export function controlTime(t: Pick<TestContext, 'mock'>): { pass(milliseconds: number): Promise<void> } {
  let now = 0;
  let looks = 0;
  t.mock.method(performance, 'now', () => {
    looks += 1;
    return now;
  });
  return {
    /** Lets time pass, until what watches it has looked twice. */
    async pass(milliseconds) {
      now += milliseconds;
      looks = 0;
      await eventually(() => looks >= 2);
    },
  };
}
