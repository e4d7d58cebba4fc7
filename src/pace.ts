import { setImmediate as turn } from 'node:timers/promises';

/** Milliseconds of work after which the event loop gets a turn: what one request may have to wait for more than it would have to anyway. */
const slice = 2;

/** Resolves in the next turn of the event loop, when those that were waiting had theirs. */
export function nextTurn(): Promise<void> {
  return turn();
}

/** Spreads long work over turns of the event loop, which has connections to serve meanwhile. */
export class Pace {
  #end = performance.now() + slice;

  /** To be awaited between the steps of the work: gives the event loop a turn when it is time for one. */
  async rest(): Promise<void> {
    if (performance.now() <= this.#end) return;
    await turn();
    this.#end = performance.now() + slice;
  }
}

const steps: (() => void)[] = [];

/** Takes a step of some work in a turn of the event loop of its own: there is one step in each turn, whoever wants it. */
export function inTurn(step: () => void): void {
  steps.push(step);
  if (steps.length === 1) setImmediate(take);
}

function take(): void {
  const step = steps[0];
  try {
    step?.();
  } finally {
    steps.shift();
    if (steps.length > 0) setImmediate(take);
  }
}
