/** What is looked at now and then. */
export interface Sweepable {
  /** @param now monotonic milliseconds */
  check(now: number): void;
}

/** Looks at everything that has a deadline, now and then, in place of a timer for each. Does not keep the process alive. */
export class Sweep<T extends Sweepable> {
  readonly #members = new Set<T>();
  readonly #every: number;
  #timer: NodeJS.Timeout | null = null;

  /** @param shortest the shortest of the times that are watched, milliseconds; they are kept to about a tenth of it */
  constructor(shortest: number) {
    this.#every = Math.min(1000, Math.max(10, shortest / 10));
  }

  add(member: T): void {
    this.#members.add(member);
    this.#timer ??= setInterval(() => this.#look(), this.#every).unref();
  }

  delete(member: T): void {
    this.#members.delete(member);
  }

  /** All of them, as they are now. */
  members(): T[] {
    return [...this.#members];
  }

  #look(): void {
    const now = performance.now();
    for (const member of this.#members) member.check(now);
    if (this.#members.size > 0 || !this.#timer) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }
}
