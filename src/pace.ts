import { setImmediate as turn } from 'node:timers/promises';

/** Milliseconds of work in one turn of the event loop: what a request may have to wait for more than it would have to anyway. */
const slice = 2;

/** Until when work may go on in this turn, monotonic milliseconds. One for all of it, whoever does it. */
let end = 0;

/** Resolves in the next turn of the event loop, when those that were waiting had theirs. */
export function nextTurn(): Promise<void> {
  return turn();
}

/** To be awaited between the steps of long work: gives the event loop, which has connections to serve, a turn when it is time for one. */
export async function rest(): Promise<void> {
  if (performance.now() <= end) return;
  await turn();
  end = performance.now() + slice;
}

/**
 * Waits for something, but not for ever. An abort signal would cost a tenth of a millisecond each time, for its error.
 * @param ref whether the wait keeps the process alive
 * @returns what the promise resolves with; null when that takes longer
 */
export function within<T>(milliseconds: number, promise: Promise<T>, { ref = true } = {}): Promise<T | null> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds, null);
    if (!ref) timer.unref();
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

const steps: (() => void)[] = [];

/** As `rest`, where work goes on in callbacks: takes the next step of it, in this turn of the event loop while there is time, otherwise in the next. */
export function inTurn(step: () => void): void {
  steps.push(step);
  if (steps.length === 1) schedule();
}

function schedule(): void {
  if (performance.now() <= end) process.nextTick(take);
  else setImmediate(begin);
}

function begin(): void {
  end = performance.now() + slice;
  take();
}

function take(): void {
  try {
    steps[0]?.();
  } finally {
    steps.shift();
    if (steps.length > 0) schedule();
  }
}
