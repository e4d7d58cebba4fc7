import type { StopResult } from '../connections/index.ts';
import type { ManagedWorker } from './managed-worker.ts';
import { silentAfter } from './pulse.ts';

/**
 * Stops workers gracefully, and waits until their processes have ended.
 * @param timeout milliseconds, after which what is left is killed
 */
export async function stopWorkers(workers: readonly ManagedWorker[], timeout: number): Promise<StopResult> {
  const overdue = setTimeout(() => {
    for (const worker of workers) worker.kill('SIGKILL');
  }, timeout);
  // Who has nothing to drain, and who would not hear of it.
  for (const worker of workers) {
    if (worker.state === 'starting' || worker.isSilent(silentAfter)) worker.kill('SIGKILL');
  }
  // A client that is told to go elsewhere must not find a door that is about to be shut.
  await Promise.all(workers.map((worker) => worker.stopAccepting()));
  const results = await Promise.all(workers.map((worker) => worker.stop()));
  await Promise.all(workers.map(({ exited }) => exited));
  clearTimeout(overdue);
  return { cut: results.reduce((sum, { cut }) => sum + cut, 0) };
}

/** Cuts what a stop of workers still waits for. */
export function abandonWorkers(workers: readonly ManagedWorker[]): void {
  for (const worker of workers) {
    if (worker.isSilent(silentAfter)) worker.kill('SIGKILL');
    else worker.abandon();
  }
}
