/** Milliseconds. */
const firstDelay = 100;
const longestDelay = 30_000;
/** Deaths of workers that had served, after which each further one has to wait; one is forgiven each second. */
const deathsForgiven = 10;
const forgivenEvery = 1000;

/**
 * How long to wait before a worker that died is replaced. One that had served is replaced at once, unless they die faster than they could
 * serve; who never got that far is tried again later and later. With jitter: what made many fail at once should not be met at once again.
 */
export class Respawn {
  readonly #random: () => number;
  #tokens = deathsForgiven;
  #countedAt: number | null = null;
  #failures = 0;

  /** @param random between 0 and 1 */
  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  /** Workers in a row that died before they served. */
  get failures(): number {
    return this.#failures;
  }

  /** A worker serves: starting works. */
  served(): void {
    this.#failures = 0;
  }

  /**
   * A worker died.
   * @param hadServed whether it got as far as to accept connections
   * @param now monotonic milliseconds
   * @returns milliseconds to wait
   */
  delayAfter(hadServed: boolean, now: number): number {
    if (!hadServed) {
      this.#failures += 1;
      return this.#jittered(firstDelay * 2 ** (this.#failures - 1));
    }
    const earned = (now - (this.#countedAt ?? now)) / forgivenEvery;
    this.#countedAt = now;
    this.#tokens = Math.min(deathsForgiven, this.#tokens + earned) - 1;
    if (this.#tokens >= 0) return 0;
    return this.#jittered(firstDelay * 2 ** -Math.floor(this.#tokens));
  }

  #jittered(delay: number): number {
    return Math.min(delay, longestDelay) * (0.5 + this.#random() / 2);
  }
}
