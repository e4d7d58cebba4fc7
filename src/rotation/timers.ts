const longestTimer = 2 ** 31 - 1;

/** One thing that is to happen at a moment, unless another moment is set before. Does not keep the process. */
export class Alarm {
  readonly #ring: () => void;
  #timer: NodeJS.Timeout | null = null;

  constructor(ring: () => void) {
    this.#ring = ring;
  }

  /** @param wait milliseconds; a wait that is longer than a timer can be rings early */
  set(wait: number): void {
    this.clear();
    this.#timer = setTimeout(this.#ring, Math.max(0, Math.min(wait, longestTimer))).unref();
  }

  clear(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
  }
}
