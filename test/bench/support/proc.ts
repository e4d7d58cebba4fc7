import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';

let ticksPerSecond: number | undefined;

function toSeconds(ticks: number): number {
  ticksPerSecond ??= Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));
  return ticks / ticksPerSecond;
}

/** Fields of `/proc/PID/stat` (proc(5)), the first one being field 3: the command before it may hold spaces. */
function statOf(pid: number): string[] {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

/**
 * Processor seconds, user and system, that the processes `pids` have used so far (a tick is usually 10 ms). Throws when
 * one of them has ended.
 */
export function cpuSeconds(pids: readonly number[]): number {
  const ticks = pids.map(statOf).map((fields) => Number(fields[11]) + Number(fields[12]));
  return toSeconds(ticks.reduce((total, count) => total + count, 0));
}

/** Processor seconds that this machine has worked so far, all its processors together, and time stolen from it. */
function machineSeconds(): number {
  const [user, nice, system, , , irq, softirq, steal] = (
    /^cpu +(.*)$/m.exec(readFileSync('/proc/stat', 'utf8'))?.[1] ?? ''
  )
    .split(' ')
    .map(Number);
  return toSeconds([user, nice, system, irq, softirq, steal].reduce<number>((total, ticks) => total + (ticks ?? 0), 0));
}

/** Measures how much of the machine processes that are not part of the benchmark took, from its making on. */
export class Neighbours {
  readonly #pids: readonly number[];
  readonly #began = performance.now();
  readonly #before: number;

  /** @param pids processes of the benchmark, beside this one and those it has started and that have ended since */
  constructor(pids: readonly number[]) {
    this.#pids = pids;
    this.#before = this.#used();
  }

  /** Share of the machine, 0 to 1. */
  share(): number {
    const seconds = ((performance.now() - this.#began) / 1000) * cpus().length;
    return Math.max(0, (this.#used() - this.#before) / seconds);
  }

  #used(): number {
    const [, , ofChildren = 0, inKernel = 0] = statOf(process.pid).slice(11, 15).map(Number);
    return machineSeconds() - cpuSeconds([...this.#pids, process.pid]) - toSeconds(ofChildren + inKernel);
  }
}

/** Of measurements, the half (rounded up) in which the neighbours took least. */
export function quietest<T extends { neighbours: number }>(samples: readonly T[]): T[] {
  return samples.toSorted((a, b) => a.neighbours - b.neighbours).slice(0, Math.ceil(samples.length / 2));
}

/** Memory of a process, in MiB. */
export interface Memory {
  /** Everything it has in memory, pages shared with others counted whole. */
  rss: number;
  /** The same, a page shared by n processes counted as one nth: sums over processes are right. */
  pss: number;
}

/** Memory of the process `pid` (proc(5), `/proc/PID/smaps_rollup`); throws when it has ended or is another user's. */
export function memoryOf(pid: number): Memory {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const field = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1] ?? Number.NaN) / 1024;
  return { rss: field('Rss'), pss: field('Pss') };
}
