import type { CheckedAnswer } from './answer.ts';
import { monotonicNow, PluginFailure } from './messages.ts';
import { PluginThread, type PluginThreadOptions } from './thread.ts';

export interface PluginHostOptions extends PluginThreadOptions {
  /** Milliseconds after which a thread that does not answer is ended. */
  readonly timeout: number;
}

/**
 * Runs one plug-in: asks its thread, and replaces a thread that failed. There is never more than one: the next is started when the last
 * is gone.
 *
 *           load()                answer
 *   (none) ───────▶ running ─────────────────▶ idle ── load() ──▶ running
 *      ▲               │ failure: it closes, 1 s at most
 *      └── gone ◀──────┤ too late: terminated
 *                      │ exit, crash, out of memory
 */
export class PluginHost {
  readonly #options: PluginHostOptions;
  #thread: PluginThread | null = null;
  /** Resolves when the thread that failed last is gone. */
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
    this.#thread?.close();
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
    this.#thread ??= this.#start();
    return this.#thread.ask(until);
  }

  #start(): PluginThread {
    const thread = new PluginThread(this.#options);
    void thread.gone.then(() => {
      if (this.#thread === thread) this.#thread = null;
    });
    return thread;
  }

  #discard(gracefully: boolean): void {
    const thread = this.#thread;
    if (!thread) return;
    this.#thread = null;
    const leaving = thread.gone.then(() => {
      if (this.#leaving === leaving) this.#leaving = null;
    });
    this.#leaving = leaving;
    if (gracefully) thread.close();
    else thread.end();
  }
}
