import { readdir, readFile } from 'node:fs/promises';
import { patience, until } from './until.ts';
import { descriptorsOf, runs, statusOf } from './workers.ts';

/** Resolves when none of these processes runs any more. */
export async function gone(pids: readonly number[], withinMs = patience): Promise<void> {
  const anyRuns = async () => (await Promise.all(pids.map(runs))).includes(true);
  await until(`the end of ${pids.join(', ')}`, async () => !(await anyRuns()), withinMs);
}

/** Local addresses (hexadecimal `IP:PORT`) of the TCP sockets of a process that listen. */
export async function listeningOn(pid: number): Promise<string[]> {
  const inodes = new Set((await descriptorsOf(pid)).map((target) => /^socket:\[(\d+)\]$/.exec(target)?.[1]));
  const tables = await Promise.all(['tcp', 'tcp6'].map((name) => readFile(`/proc/${pid}/net/${name}`, 'utf8')));
  return tables
    .join('\n')
    .split('\n')
    .flatMap((line) => {
      const fields = line.trim().split(/\s+/);
      return fields[3] === '0A' && inodes.has(fields[9]) ? [fields[1] ?? ''] : [];
    });
}

/** The `status` fields of each thread of a process, as `statusOf` of the process. */
export async function statusOfThreads(pid: number): Promise<ReadonlyMap<string, string>[]> {
  const threads = await readdir(`/proc/${pid}/task`);
  const found = await Promise.all(threads.map((thread) => statusOf(Number(thread))));
  return found.filter((status) => status !== null);
}

/** CPU time of a process, milliseconds, as precise as the clock ticks of the system (10 ms). */
export async function cpuMsOf(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}
