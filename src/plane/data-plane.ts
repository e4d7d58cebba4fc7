import { ConnectionRegistry, type ConnectionSummary, type StopResult } from '../connections/index.ts';
import type { Logger, TrafficMetrics } from '../observe/index.ts';
import { FrontDoor, type FrontDoorOptions } from '../proxy/index.ts';
import { LocalPublisher } from '../rotation/index.ts';
import { type ContextStore, type ListenAddress, TlsListener } from '../tls/index.ts';
import { Upstream } from '../upstream/index.ts';
import { clientRules, doorOptions, listenerOptions, type PlaneConfig } from './options.ts';

/** What the parts of the plane are joined to. */
export interface PlaneSurroundings extends Pick<FrontDoorOptions, 'observe' | 'peers'> {
  readonly metrics: TrafficMetrics;
  readonly logger: Logger;
}

/** Everything that serves clients: in the one process, or in each worker. */
export class DataPlane {
  readonly store: ContextStore;
  readonly publisher: LocalPublisher;
  readonly listeners: readonly TlsListener[];
  readonly #connections: ConnectionRegistry;
  readonly #upstreams: ReadonlyMap<string, Upstream>;
  readonly #door: FrontDoor;
  readonly #logger: Logger;
  readonly #abandoned = new AbortController();

  constructor(config: PlaneConfig, store: ContextStore, surroundings: PlaneSurroundings) {
    const { metrics, logger, ...joints } = surroundings;
    this.store = store;
    this.#logger = logger;
    this.#connections = new ConnectionRegistry(config.drain, metrics, logger);
    this.publisher = new LocalPublisher(store, this.#connections, config.drain.untrusted);
    this.#upstreams = createUpstreams(config, metrics, logger);
    const options = { ...doorOptions(config), ...joints };
    this.#door = new FrontDoor(store, this.#connections, this.#upstreams, options, metrics, logger);
    this.listeners = config.listeners.map((listener) => {
      const rules = clientRules(listener);
      return new TlsListener(listener.address, store, listenerOptions(config, rules), this.#door.eventsFor(rules));
    });
  }

  /** @param sockets bound to the addresses, when there are some already @throws SwivelError LISTEN_FAILED */
  async open(sockets: readonly object[] = []): Promise<readonly ListenAddress[]> {
    for (const [i, listener] of this.listeners.entries()) await listener.open(sockets[i]);
    return this.listeners.map(({ address }) => address);
  }

  summary(): ConnectionSummary {
    return this.#connections.summary();
  }

  /** Keeps intermediates of clients at hand, DER. */
  learn(certificates: readonly Uint8Array[]): void {
    this.#door.learn(certificates);
  }

  setLogLevel(level: string): void {
    this.#logger.level = level;
  }

  /** Stops accepting, and drains as for retired certificates: upgraded connections get the time of their own. */
  async leave(): Promise<void> {
    await this.stopAccepting();
    await this.#connections.leave();
    await this.close();
  }

  /** Stops accepting, and drains everything within the drain timeout. */
  async stop(): Promise<StopResult> {
    await this.stopAccepting();
    const stopped = this.#connections.stop();
    if (this.#abandoned.signal.aborted) this.#connections.destroyAll();
    else this.#abandoned.signal.addEventListener('abort', () => this.#connections.destroyAll());
    const result = await stopped;
    await this.close();
    return result;
  }

  /** Cuts what a stop still waits for, now or later. */
  abandon(): void {
    this.#abandoned.abort();
  }

  /** Ends what runs beside the connections. Idempotent. */
  async close(): Promise<void> {
    await this.stopAccepting();
    this.#door.close();
    for (const upstream of this.#upstreams.values()) upstream.close();
  }

  /** Settles when nobody gets in any more. Who stood before the door by then is served. */
  async stopAccepting(): Promise<void> {
    await Promise.all(this.listeners.map((listener) => listener.close()));
  }
}

function createUpstreams(
  { upstreams, proxy }: PlaneConfig,
  metrics: TrafficMetrics,
  logger: Logger,
): Map<string, Upstream> {
  const options = { ...proxy, idleTimeout: proxy.bodyTimeout };
  return new Map(
    Object.entries(upstreams).map(([name, { targets }]) => {
      const urls = targets.map((target) => new URL(target));
      return [name, new Upstream(name, urls, options, metrics, logger)];
    }),
  );
}
