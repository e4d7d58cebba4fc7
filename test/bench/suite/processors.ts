import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { runCommand } from '../peers/process.ts';

/** Open files that 10,000 connections to a proxy need, with one to the upstream for each. */
const FILES = 40_000;

/** Which processors the processes of the benchmark run on. */
export interface Processors {
  /** The one of the proxy; undefined when nothing is pinned. */
  readonly proxy: number | undefined;
  readonly note: string;
}

/**
 * Pins this process, and so every load and upstream that it starts later, to the second processor, and leaves the first
 * one to the proxies. Nothing is pinned where there is one processor only, or no taskset(1).
 */
export async function pinClients(): Promise<Processors> {
  if (availableParallelism() < 2) return { proxy: undefined, note: 'one processor: nothing is pinned' };
  try {
    await runCommand('taskset', ['-a', '-c', '-p', '1', String(process.pid)]);
    return { proxy: 0, note: 'proxy on one processor, load and upstream on another' };
  } catch {
    return { proxy: undefined, note: 'taskset does not work here: nothing is pinned' };
  }
}

/** Lets this process and what it starts later open many files, where that is allowed; how many they may. */
export async function raiseFileLimit(): Promise<number> {
  await runCommand('prlimit', ['--pid', String(process.pid), `--nofile=${FILES}:${FILES}`]).catch(() => undefined);
  const limits = await readFile('/proc/self/limits', 'utf8');
  return Number(/^Max open files +(\d+)/m.exec(limits)?.[1] ?? 1024);
}
