import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';

/** A script in a process of its own, talked to over its channel. The script must exit when the channel closes. */
export class ScriptProcess {
  readonly #process: ChildProcess;
  #ended = false;

  constructor(script: URL) {
    // No flags of this process (test runner, watch, inspector) reach the script.
    this.#process = fork(script, { execArgv: [], stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    this.#process.once('exit', () => {
      this.#ended = true;
    });
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  send(message: object): void {
    if (this.#process.connected) this.#process.send(message);
  }

  /** The next message; rejects when the process ends first or nothing came within the bound. */
  async next<T>(withinMs: number): Promise<T> {
    if (this.#ended) throw new Error('the process has ended');
    const waiting = new AbortController();
    const signal = AbortSignal.any([waiting.signal, AbortSignal.timeout(withinMs)]);
    try {
      return await Promise.race([
        once(this.#process, 'message', { signal }).then(([message]) => message as T),
        once(this.#process, 'exit', { signal }).then(([code]) => {
          throw new Error(`the process ended with ${code} before it answered`);
        }),
      ]);
    } finally {
      waiting.abort();
    }
  }

  /** Closes the channel and waits for the end; a process that does not end by itself is killed. */
  async stop(): Promise<void> {
    if (this.#ended) return;
    const exit = once(this.#process, 'exit');
    const killer = setTimeout(() => this.#process.kill('SIGKILL'), 2_000);
    if (this.#process.connected) this.#process.disconnect();
    await exit;
    clearTimeout(killer);
  }
}
