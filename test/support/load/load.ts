import { ScriptProcess } from '../child.ts';
import type { LoadOptions, LoadReport } from './types.ts';

export type { Failure, Kind, LoadOptions, LoadReport, LoadTarget } from './types.ts';

/**
 * The load of well-behaved clients that a rotation must not disturb, in a process of its own so that it shares no
 * event loop with what is measured. `start()`, do what is to be tested, `stop()` for the report.
 */
export class Load {
  readonly #options: LoadOptions;
  #generator: ScriptProcess | undefined;
  #report: Promise<{ report: LoadReport }> | undefined;

  constructor(options: LoadOptions) {
    this.#options = options;
  }

  /** Process id of the load generator. */
  get pid(): number | undefined {
    return this.#generator?.pid;
  }

  /** Resolves when every long-lived client has been served once. */
  async start(): Promise<void> {
    const generator = new ScriptProcess(new URL('./generator.ts', import.meta.url));
    this.#generator = generator;
    generator.send(this.#options);
    await generator.next(20_000);
    this.#report = generator.next((this.#options.maxDurationMs ?? 120_000) + 30_000);
    this.#report.catch(() => {});
  }

  /** Lets every client finish what it is doing, the download included, and returns what they saw. */
  async stop(): Promise<LoadReport> {
    if (!this.#generator || !this.#report) throw new Error('the load was not started');
    this.#generator.send({ stop: true });
    try {
      return (await this.#report).report;
    } finally {
      await this.abandon();
    }
  }

  /** Ends the load without a report, wherever it stands; does nothing after `stop()`. */
  async abandon(): Promise<void> {
    await this.#generator?.stop();
  }
}

/** Failures by kind and reason with their count, for an assertion message that fits on a screen. */
export function summarize(report: Pick<LoadReport, 'failures' | 'websocketCuts'>): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { kind, reason, reused } of [...report.failures, ...report.websocketCuts]) {
    const key = `${kind}${reused ? ' (reused connection)' : ''}: ${reason}`;
    counts[key] = (counts[key] ?? 0) + 1;
  }
  return counts;
}
