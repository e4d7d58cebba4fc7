import { readdirSync, readFileSync } from 'node:fs';
import { cpuSeconds, type Memory, memoryOf } from './proc.ts';

/** The process `root` and everything it has started that still runs, by the parents that proc(5) names. */
export function processTree(root: number): number[] {
  const childrenOf = new Map<number, number[]>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const stat = readOrNothing(`/proc/${name}/stat`);
    const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
    childrenOf.set(parent, [...(childrenOf.get(parent) ?? []), Number(name)]);
  }
  const tree = [root];
  for (const pid of tree) tree.push(...(childrenOf.get(pid) ?? []));
  return tree;
}

/** Memory of a whole tree of processes, in MiB. */
export function memoryOfTree(root: number): Memory {
  const each = processTree(root).map(memoryOf);
  return {
    rss: each.reduce((sum, { rss }) => sum + rss, 0),
    pss: each.reduce((sum, { pss }) => sum + pss, 0),
  };
}

/** Counts the processor time of a tree of processes from its making on: user and system, all threads. */
export class CpuMeter {
  readonly #root: number;
  readonly #before: ReadonlyMap<string, number>;

  constructor(root: number) {
    this.#root = root;
    this.#before = threadTimes(root);
  }

  /** Processor seconds so far; those of a thread that has ended meanwhile are lost. */
  seconds(): number {
    let total = 0;
    for (const [thread, seconds] of threadTimes(this.#root)) total += seconds - (this.#before.get(thread) ?? 0);
    return total;
  }
}

/**
 * Processor seconds of each thread of a tree. `/proc/PID/task/TID/schedstat` counts nanoseconds; where the kernel has
 * none, each process stands for its threads, in ticks.
 */
function threadTimes(root: number): Map<string, number> {
  const times = new Map<string, number>();
  for (const pid of processTree(root)) {
    const before = times.size;
    for (const thread of namesIn(`/proc/${pid}/task`)) {
      const nanoseconds = readOrNothing(`/proc/${pid}/task/${thread}/schedstat`).split(' ')[0];
      if (nanoseconds) times.set(thread, Number(nanoseconds) / 1e9);
    }
    if (times.size === before) times.set(`process ${pid}`, cpuSeconds([pid]));
  }
  return times;
}

// Processes and threads end while they are being listed.
function readOrNothing(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function namesIn(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}
