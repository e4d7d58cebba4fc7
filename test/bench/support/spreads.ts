import { readFile } from 'node:fs/promises';

/**
 * Milliseconds between the first and the last worker to serve a generation, from the log of Swivel at level debug: lines
 * `{event: 'generation', worker, generation, at}`, `at` in milliseconds of a clock that all processes share. Left out
 * are the first generation, which workers are given as they start, and generations that not all of them have logged.
 */
export async function workerSpreads(logFile: string, workers: number): Promise<number[]> {
  const served = new Map<number, Map<number, number>>();
  for (const line of (await readFile(logFile, 'utf8')).split('\n')) {
    if (!line.includes('"event":"generation"')) continue;
    const { worker, generation, at } = JSON.parse(line) as { worker: number; generation: number; at: number };
    const byWorker = served.get(generation) ?? new Map<number, number>();
    served.set(generation, byWorker.set(worker, at));
  }
  const first = Math.min(...served.keys());
  return [...served]
    .filter(([generation, { size }]) => generation !== first && size === workers)
    .map(([, byWorker]) => Math.max(...byWorker.values()) - Math.min(...byWorker.values()));
}
