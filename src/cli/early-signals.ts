/** Signals that come before there is anything to signal: SIGHUP, which would end the process, is kept for later. */
export class EarlySignals {
  readonly #came = new Set<NodeJS.Signals>();
  readonly #note = (signal: NodeJS.Signals) => void this.#came.add(signal);
  readonly #end = () => process.exit(0);

  constructor() {
    process.on('SIGHUP', this.#note).on('SIGUSR2', this.#note).on('SIGTERM', this.#end).on('SIGINT', this.#end);
  }

  /** Call when others listen to the signals. */
  handOver(): void {
    process.off('SIGHUP', this.#note).off('SIGUSR2', this.#note).off('SIGTERM', this.#end).off('SIGINT', this.#end);
    for (const signal of this.#came) process.kill(process.pid, signal);
  }
}
