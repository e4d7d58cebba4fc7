import type { CheckedAnswer } from './answer.ts';
import { monotonicNow, PluginFailure } from './messages.ts';
import { PluginProcess, type PluginProcessOptions } from './process.ts';

export interface PluginHostOptions extends PluginProcessOptions {
  /** Milliseconds after which a process that does not answer is ended. */
  readonly timeout: number;
}

/**
 * Runs one plug-in: asks its process, and replaces a process that failed. There is never more than one: the next is started when the last
 * is gone.
 *
 *           load()                answer
 *   (none) ───────▶ running ─────────────────▶ idle ── load() ──▶ running
 *      ▲               │ failure: it closes, 1 s at most
 *      └── gone ◀──────┤ too late: killed
 *                      │ exit, crash, out of memory
 */
export class PluginHost {
  readonly #options: PluginHostOptions;
  #process: PluginProcess | null = null;
  /** Resolves when the process that failed last is gone. */
  #leaving: Promise<void> | null = null;
  #loading: Promise<unknown> | null = null;
  #closed = false;

  constructor(options: PluginHostOptions) {
    this.#options = options;
  }

  /** What the plug-in answers. Calls wait for one another. @throws PluginFailure */
  load(): Promise<CheckedAnswer> {
    const load = () => this.#load();
    // The first begins at once: its time must run out before that of whoever waits for it as long.
    const loading = this.#loading ? this.#loading.then(load, load) : load();
    this.#loading = loading;
    const done = () => {
      if (this.#loading === loading) this.#loading = null;
    };
    loading.then(done, done);
    return loading;
  }

  /** Ends the plug-in, gracefully for a second. Idempotent. Loads fail from now on. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#process?.close();
  }

  async #load(): Promise<CheckedAnswer> {
    const { timeout } = this.#options;
    const until = monotonicNow() + timeout * 0.9;
    const overdue = new PluginFailure('SOURCE_TIMEOUT', `did not answer within ${timeout} ms`);
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => late.reject(overdue), timeout);
    const over = new AbortController();
    try {
      return await Promise.race([this.#ask(until, over.signal), late.promise]);
    } catch (error) {
      this.#discard(error !== overdue);
      throw error;
    } finally {
      clearTimeout(timer);
      over.abort();
    }
  }

  async #ask(until: number, over: AbortSignal): Promise<CheckedAnswer> {
    if (this.#leaving) await this.#leaving;
    if (this.#closed || over.aborted) throw new PluginFailure('PLUGIN_FAILED', 'was closed');
    this.#process ??= this.#start();
    return this.#process.ask(until);
  }

  #start(): PluginProcess {
    const running = new PluginProcess(this.#options);
    void running.gone.then(() => {
      if (this.#process === running) this.#process = null;
    });
    return running;
  }

  #discard(gracefully: boolean): void {
    const running = this.#process;
    if (!running) return;
    this.#process = null;
    const leaving = running.gone.then(() => {
      if (this.#leaving === leaving) this.#leaving = null;
    });
    this.#leaving = leaving;
    if (gracefully) running.close();
    else running.end();
  }
}
