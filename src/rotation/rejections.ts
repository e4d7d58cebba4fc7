import { coded, type Finding } from '../errors.ts';
import type { Logger, Metrics } from '../observe/index.ts';

/** Milliseconds for which a rejection may be the middle of a change (one file of a pair renamed, the other to come). */
const grace = 500;

interface Rejection {
  readonly key: string;
  readonly since: number;
  readonly at: string;
  reported: boolean;
  /** There is a line about it in the log. */
  told: boolean;
}

/** What is not served as it is on disk: tells each rejection once, and not before it is sure to be more than the middle of a change. */
export class Rejections {
  readonly #metrics: Metrics;
  readonly #logger: Logger;
  readonly #rejections = new Map<string, Rejection>();

  constructor(metrics: Metrics, logger: Logger) {
    this.#metrics = metrics;
    this.#logger = logger;
  }

  /** Whether there is one that is not reported yet because it may pass. */
  get undecided(): boolean {
    return [...this.#rejections.values()].some((rejection) => !rejection.reported);
  }

  /** When the rejection of something began, RFC 3339; undefined when it is not rejected. */
  sinceOf(key: string): string | undefined {
    return this.#rejections.get(key)?.at;
  }

  /**
   * Something is rejected, for the first time or still.
   * @param key the id of a certificate, or what else stands for it
   * @param now monotonic milliseconds
   * @param insistent report it now, even if it may be the middle of a change
   * @param silent count it, without a line in the log
   */
  add(key: string, error: Finding, now: number, insistent: boolean, silent = false): void {
    const text = `${error.code} ${error.message}`;
    let rejection = this.#rejections.get(key);
    if (rejection?.key !== text) {
      rejection = {
        key: text,
        since: now,
        at: new Date().toISOString(),
        reported: false,
        told: rejection?.told === true,
      };
      this.#rejections.set(key, rejection);
    }
    if (rejection.reported || (!insistent && now - rejection.since < grace)) return;
    rejection.reported = true;
    const waits = error.severity === 'warning';
    const result = error.code === 'ROLLED_BACK' ? 'held' : waits ? 'pending' : 'rejected';
    // A source that failed as a whole is told once, and counts for each of its certificates.
    if (silent || error.identity !== undefined) this.#metrics.certificateReloads.inc({ certificate: key, result });
    if (silent) return;
    rejection.told = true;
    const line = { event: result, certificate: error.identity, ...coded(error) };
    if (waits) this.#logger.info(line, result === 'held' ? 'certificate is held back' : 'certificate waits');
    else this.#logger.error(line, error.message);
  }

  /** All is well with what is not among these. */
  keep(rejected: ReadonlySet<string>): void {
    for (const [key, { told }] of this.#rejections) {
      if (rejected.has(key)) continue;
      if (told) this.#logger.info({ event: 'recovered', certificate: key }, 'no longer rejected');
      this.#rejections.delete(key);
    }
  }
}
