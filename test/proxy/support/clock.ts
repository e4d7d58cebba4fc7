import type { TestContext } from 'node:test';

interface Timer {
  at: number;
  readonly run: () => void;
}

/** Takes the place of `setTimeout` until the test is over. Beside what the one of `node:test` does, its timers can be refreshed. */
export class Clock {
  #now = 0;
  readonly #timers = new Set<Timer>();

  constructor(t: Pick<TestContext, 'mock'>) {
    const start = (callback: (...args: unknown[]) => void, delay: number, ...args: unknown[]) => {
      const timer = { at: this.#now + delay, run: () => callback(...args) };
      this.#timers.add(timer);
      const refresh = () => {
        timer.at = this.#now + delay;
        return handle;
      };
      const handle = { timer, refresh, unref: () => handle, ref: () => handle };
      return handle;
    };
    t.mock.method(globalThis, 'setTimeout', start as never);
    t.mock.method(globalThis, 'clearTimeout', (handle?: ReturnType<typeof start>) => {
      if (handle) this.#timers.delete(handle.timer);
    });
  }

  /** Lets milliseconds pass, and runs what is due by then. */
  tick(milliseconds: number): void {
    this.#now += milliseconds;
    for (const timer of this.#timers) {
      if (timer.at > this.#now) continue;
      this.#timers.delete(timer);
      timer.run();
    }
  }
}
