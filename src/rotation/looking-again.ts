import { Alarm } from './timers.ts';

/** Delays of the attempts after a rejection, milliseconds; from then on the resync has it. */
const retryDelays = [25, 50, 100, 200, 400, 800, 1600, 3200, 6400];
/** Milliseconds between two times a source is asked because it wants to be. */
const shortestWait = 1000;

/** What is called when it is time. */
export interface Calls<T> {
  /** Something was wrong with these, and may be right now. */
  readonly retry: (sources: readonly T[]) => void;
  /** Time alone may have changed what is to be served. */
  readonly wake: () => void;
  /** A source wanted to be asked again. */
  readonly ask: (source: T) => void;
}

/** Knows when to look again without being told: at what is wrong, at what time changes, at sources that asked for it. */
export class LookingAgain<T extends object> {
  readonly #calls: Calls<T>;
  readonly #wake: Alarm;
  readonly #retry: Alarm;
  readonly #asks = new Map<T, Alarm>();
  #wrong: readonly T[] = [];
  #retries = 0;

  constructor(calls: Calls<T>) {
    this.#calls = calls;
    this.#wake = new Alarm(calls.wake);
    this.#retry = new Alarm(() => calls.retry(this.#wrong));
  }

  /** @param wait milliseconds; null when time alone changes nothing */
  wakeIn(wait: number | null): void {
    if (wait === null) this.#wake.clear();
    else this.#wake.set(wait);
  }

  /** Asks a source again; a little earlier than it wants, so that a fleet does not ask in one moment. @param wait milliseconds */
  askIn(source: T, wait: number | null): void {
    const alarm = this.#asks.get(source) ?? new Alarm(() => this.#calls.ask(source));
    this.#asks.set(source, alarm);
    if (wait === null) alarm.clear();
    else alarm.set(Math.max(shortestWait, wait * (1 - Math.random() * 0.05)));
  }

  /** Looks again at sources that hold something wrong, later each time: it may be half-written. */
  retry(sources: readonly T[]): void {
    const wait = retryDelays[this.#retries];
    if (wait === undefined) return;
    this.#retries += 1;
    this.#wrong = sources;
    this.#retry.set(wait);
  }

  /** Something new happened, or all is well: the next attempts come quickly again. */
  startOver(): void {
    this.#retries = 0;
  }

  stop(): void {
    for (const alarm of [this.#retry, this.#wake, ...this.#asks.values()]) alarm.clear();
  }
}
