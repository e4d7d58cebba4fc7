import type { ManagedWorker } from './managed-worker.ts';
import { pulse } from './worker.ts';

/** Beats of the pulse without a sign of life, after which nobody waits for a worker. */
export const silentAfter = 4;
/** Beats after which a worker that is silent, or stays behind, is replaced. */
const replacedAfter = 20;
/** Beats after which one that does not get to serve is given up: loading takes a while on a busy machine, thousands of certificates do. */
const startsWithin = 240;

/** What is done about workers that do not do what they should. */
export interface Alarms {
  /** It gives no sign of life. */
  silent(worker: ManagedWorker): void;
  /** It lives, and does not get as far as to serve. */
  stuck(worker: ManagedWorker): void;
  /** It lives and serves, but not what it should. Again and again while that lasts. */
  behind(worker: ManagedWorker): void;
  /** Called after each look. */
  beat(): void;
}

/** Looks at the workers, twice a second. */
export class Pulse {
  readonly #workers: () => Iterable<ManagedWorker>;
  readonly #isBehind: (worker: ManagedWorker) => boolean;
  readonly #alarms: Alarms;
  #timer: NodeJS.Timeout | null = null;
  #beatAt = 0;

  constructor(workers: () => Iterable<ManagedWorker>, isBehind: (worker: ManagedWorker) => boolean, alarms: Alarms) {
    this.#workers = workers;
    this.#isBehind = isBehind;
    this.#alarms = alarms;
  }

  start(): void {
    this.#beatAt = performance.now();
    this.#timer = setInterval(() => this.#beat(), pulse);
  }

  stop(): void {
    if (this.#timer) clearInterval(this.#timer);
  }

  #beat(): void {
    const now = performance.now();
    // Was this process itself suspended? Then silence of the others means nothing.
    const late = now - this.#beatAt > pulse * 3;
    this.#beatAt = now;
    if (!late) for (const worker of this.#workers()) if (worker.begun) this.#lookAt(worker);
    this.#alarms.beat();
  }

  #lookAt(worker: ManagedWorker): void {
    worker.beat(silentAfter);
    const starts = worker.state === 'starting' || worker.state === 'joining';
    worker.startingFor = starts ? worker.startingFor + 1 : 0;
    worker.behindFor = worker.state === 'serving' && this.#isBehind(worker) ? worker.behindFor + 1 : 0;
    // One that has not given any sign yet may still be loading.
    const loads = worker.state === 'starting' && worker.vitals === null;
    if (!loads && worker.isSilent(replacedAfter)) this.#alarms.silent(worker);
    else if (worker.startingFor === startsWithin) this.#alarms.stuck(worker);
    else if (worker.behindFor > 0 && worker.behindFor % replacedAfter === 0) this.#alarms.behind(worker);
  }
}
