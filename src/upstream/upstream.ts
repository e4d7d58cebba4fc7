import type { Socket } from 'node:net';
import type { Logger, TrafficMetrics } from '../observe/index.ts';
import type { UpstreamOptions } from './options.ts';
import { select } from './selection.ts';
import { Target } from './target.ts';

/** What came of connecting: a connection to a target, or the last error. */
export type Reached =
  | { readonly target: Target; readonly socket: Socket; readonly error: null }
  | { readonly target: Target | null; readonly socket: null; readonly error: unknown };

const untried: ReadonlySet<Target> = new Set();

/** A named group of targets among which requests are spread. */
export class Upstream {
  readonly name: string;
  readonly targets: readonly Target[];
  /** For metrics by upstream. */
  readonly labels: { readonly upstream: string };
  readonly #results = new Map<string, { readonly upstream: string; readonly result: string }>();
  readonly #options: UpstreamOptions;
  readonly #logger: Logger;
  readonly #metrics: TrafficMetrics;
  #cursor = 0;

  constructor(name: string, urls: readonly URL[], options: UpstreamOptions, metrics: TrafficMetrics, logger: Logger) {
    this.name = name;
    this.labels = { upstream: name };
    this.#options = options;
    this.#logger = logger;
    this.#metrics = metrics;
    this.targets = urls.map((url) => new Target(url, options));
    for (const target of this.targets) this.#gauge(target);
  }

  /** For metrics by upstream and what came of a request. */
  labelsFor(result: string): { readonly upstream: string; readonly result: string } {
    const known = this.#results.get(result);
    if (known) return known;
    const labels = { upstream: this.name, result };
    this.#results.set(result, labels);
    return labels;
  }

  get responseTimeout(): number {
    return this.#options.responseTimeout;
  }

  get idleTimeout(): number {
    return this.#options.idleTimeout;
  }

  /** The next target that was not tried for this request. @param tried none when left out */
  pick(tried: ReadonlySet<Target> = untried): Target | null {
    const [only] = this.targets;
    if (this.targets.length === 1 && only && tried.size === 0) return only;
    return select(this.targets, this.#cursor++, tried);
  }

  /** Opens a connection outside the pools, to the first target that accepts one. Does not throw. */
  async connect(): Promise<Reached> {
    const tried = new Set<Target>();
    let failed: Reached = { target: null, socket: null, error: null };
    for (let target = this.pick(tried); target; target = this.pick(tried)) {
      tried.add(target);
      try {
        const socket = await target.connect();
        this.connected(target, true);
        return { target, socket, error: null };
      } catch (error) {
        this.connected(target, false);
        failed = { target, socket: null, error };
      }
    }
    return failed;
  }

  /** Notes what came of connecting to a target. */
  connected(target: Target, success: boolean): void {
    const before = target.reachable;
    if (success) target.reached();
    else target.failed();
    if (before === success) return;
    this.#gauge(target);
    const line = { upstream: this.name, target: target.url.host };
    if (success) this.#logger.info(line, 'upstream target is up again');
    else this.#logger.warn({ code: 'UPSTREAM_UNREACHABLE', ...line }, 'upstream target is down');
  }

  close(): void {
    for (const target of this.targets) target.close();
  }

  #gauge(target: Target): void {
    this.#metrics.upstreamTargetHealthy.set({ upstream: this.name, target: target.url.host }, target.reachable ? 1 : 0);
  }
}
