import type { RunningSwivel, SwivelProcess } from './swivel.ts';
import { until } from './until.ts';

/** For `startSwivel`: the log tells which worker answered which path. */
export const accessLog = { log: { access: true } };

let counter = 0;

/** A path that no other request has. */
export function uniquePath(): string {
  counter += 1;
  return `/visit/${counter}`;
}

/** The worker that answered a request, by the path of the request. */
export async function whoAnswered(process: SwivelProcess, path: string): Promise<number> {
  const line = await process.line((one) => one.event === 'request' && one['path'] === path);
  return Number(line['worker']);
}

/** What a visit found, and who it was answered by. */
export interface Visited<T> {
  readonly worker: number;
  readonly found: T;
}

/**
 * Visits, several at once, until each of some workers has answered: who accepts a connection is up to the kernel.
 * @param visit makes one request for a path on a connection of its own
 * @returns all visits
 */
export async function visitEach<T>(
  { process }: Pick<RunningSwivel, 'process'>,
  workers: readonly number[],
  visit: (path: string) => Promise<T>,
): Promise<Visited<T>[]> {
  const visits: Visited<T>[] = [];
  const missing = new Set(workers);
  await until(`an answer of each of the workers ${workers.join(', ')}`, async () => {
    const round = Array.from({ length: 12 }, async () => {
      const path = uniquePath();
      const found = await visit(path);
      visits.push({ worker: await whoAnswered(process, path), found });
    });
    await Promise.all(round);
    for (const { worker } of visits) missing.delete(worker);
    return missing.size === 0;
  });
  return visits;
}

/** Ids of the workers that accept connections. */
export async function servingWorkers(swivel: Pick<RunningSwivel, 'status'>): Promise<number[]> {
  const { workers } = await swivel.status();
  return workers.filter(({ state }) => state === 'serving').map(({ id }) => id);
}
