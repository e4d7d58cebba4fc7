import { subscribe } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';
import { type Dispatcher, Pool } from 'undici';
import type { Logger, Metrics } from '../observe/index.ts';
import { select } from './selection.ts';

export interface UpstreamOptions {
  /** Milliseconds to wait for a connection. */
  readonly connectTimeout: number;
  /** Milliseconds to wait for the head of a response. */
  readonly responseTimeout: number;
  /** Milliseconds without a byte of a response body, after which it is given up. */
  readonly idleTimeout: number;
  /** Milliseconds for which a target that refused a connection is passed over. */
  readonly failTimeout: number;
}

/** One address of an upstream, with its pool of keep-alive connections. */
export class Target {
  readonly url: URL;
  readonly #pool: Pool;
  readonly #failTimeout: number;
  #downUntil = 0;

  constructor(url: URL, options: UpstreamOptions) {
    this.url = url;
    this.#failTimeout = options.failTimeout;
    this.#pool = new Pool(url.origin, {
      pipelining: 1,
      headersTimeout: options.responseTimeout,
      bodyTimeout: options.idleTimeout,
      connect: { timeout: options.connectTimeout },
      maxHeaderSize: 64 * 1024,
    });
  }

  get healthy(): boolean {
    return this.#downUntil === 0 || performance.now() >= this.#downUntil;
  }

  /** Notes that it refused a connection. */
  failed(): void {
    this.#downUntil = performance.now() + this.#failTimeout;
  }

  /** Notes that it accepted one. */
  reached(): void {
    this.#downUntil = 0;
  }

  dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void {
    this.#pool.dispatch(options, handler);
  }

  close(): Promise<void> {
    return this.#pool.destroy();
  }
}

/** A named group of targets among which requests are spread. */
export class Upstream {
  readonly name: string;
  readonly targets: readonly Target[];
  readonly #logger: Logger;
  readonly #metrics: Metrics;
  #cursor = 0;

  constructor(name: string, urls: readonly URL[], options: UpstreamOptions, metrics: Metrics, logger: Logger) {
    this.name = name;
    this.#logger = logger;
    this.#metrics = metrics;
    this.targets = urls.map((url) => new Target(url, options));
    for (const target of this.targets) this.#gauge(target);
  }

  /** The next target that was not tried for this request. */
  pick(tried: ReadonlySet<Target>): Target | null {
    return select(this.targets, this.#cursor++, tried);
  }

  /** Notes what came of connecting to a target. */
  connected(target: Target, success: boolean): void {
    const before = target.healthy;
    if (success) target.reached();
    else target.failed();
    if (before === success) return;
    this.#gauge(target);
    if (!success) {
      this.#logger.warn(
        { code: 'UPSTREAM_UNREACHABLE', upstream: this.name, target: target.url.host },
        'upstream target is down',
      );
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.targets.map((target) => target.close()));
  }

  #gauge(target: Target): void {
    this.#metrics.upstreamTargetHealthy.set({ upstream: this.name, target: target.url.host }, target.healthy ? 1 : 0);
  }
}

let sending: { reused: boolean } | null = null;
// Undici tells a handler that its request starts, then which socket it goes to, in one synchronous stretch.
subscribe('undici:client:sendHeaders', (message) => {
  const { socket } = message as { socket: Socket };
  if (sending) sending.reused = socket.bytesRead > 0;
  sending = null;
});

/** Call as a request starts: `record.reused` tells right afterwards whether its connection had carried a response before. */
export function noteConnection(record: { reused: boolean }): void {
  sending = record;
}
