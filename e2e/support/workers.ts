import { readdir, readFile, readlink } from 'node:fs/promises';
import type { TestContext } from 'node:test';
import type { Status } from '../../src/admin/index.ts';
import type { RunningSwivel } from './swivel.ts';
import { until } from './until.ts';

/** A worker as `/status` tells it. */
export type WorkerStatus = Status['workers'][number];

/** The workers there are, by `/status`. */
export async function workersOf(swivel: Pick<RunningSwivel, 'status'>): Promise<readonly WorkerStatus[]> {
  return (await swivel.status()).workers;
}

/**
 * Waits until so many workers serve, all of them the current generation, and there is no other.
 * @returns them
 */
export function settled(swivel: Pick<RunningSwivel, 'status'>, size: number): Promise<readonly WorkerStatus[]> {
  return until(`${size} workers serve the current generation`, async () => {
    const { workers, generation } = await swivel.status();
    const ready = workers.every((worker) => worker.state === 'serving' && worker.generation === generation);
    return ready && workers.length === size && workers;
  });
}

/** All series of `/metrics` with their values, by name and labels as they are printed. */
export async function metricsOf(swivel: Pick<RunningSwivel, 'metrics'>): Promise<Map<string, number>> {
  const series = new Map<string, number>();
  for (const line of (await swivel.metrics()).split('\n')) {
    const end = line.lastIndexOf(' ');
    if (end > 0 && !line.startsWith('#')) series.set(line.slice(0, end), Number(line.slice(end + 1)));
  }
  return series;
}

/** The fields of `/proc/PID/status` (proc_pid_status(5)), such as `Uid` and `CapEff`; null when there is no such process. */
export async function statusOf(pid: number): Promise<ReadonlyMap<string, string> | null> {
  try {
    const lines = (await readFile(`/proc/${pid}/status`, 'utf8')).split('\n');
    return new Map(lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()]));
  } catch {
    return null;
  }
}

/** Whether a process runs: what only waits to be reaped does not. */
export async function runs(pid: number): Promise<boolean> {
  const state = (await statusOf(pid))?.get('State');
  return state !== undefined && !/^[ZX]/.test(state);
}

/** The children of a process, those that wait to be reaped (`Z`) among them. */
export async function childrenOf(pid: number): Promise<{ readonly pid: number; readonly state: string }[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const statuses = await Promise.all(pids.map(statusOf));
  return pids.flatMap((child, i) => {
    const status = statuses[i];
    return status?.get('PPid') === String(pid) ? [{ pid: child, state: status.get('State')?.[0] ?? '' }] : [];
  });
}

/** What the open descriptors of a process refer to: paths, `socket:[INODE]`, `anon_inode:[eventpoll]`. */
export async function descriptorsOf(pid: number): Promise<string[]> {
  const names = await readdir(`/proc/${pid}/fd`);
  const links = await Promise.all(names.map((name) => readlink(`/proc/${pid}/fd/${name}`).catch(() => null)));
  return links.filter((link) => link !== null);
}

/** Whether somebody accepts connections on a port of loopback, without making one. */
export async function isListening(port: number): Promise<boolean> {
  const local = `:${port.toString(16).toUpperCase().padStart(4, '0')} `;
  // 0A: listens.
  return (await readFile('/proc/net/tcp', 'utf8'))
    .split('\n')
    .some((line) => line.includes(`${local}00000000:0000 0A`));
}

/** Files of Swivel in the memory file system; there is never one with a name for longer than it takes to make it. */
export async function sharedFiles(): Promise<string[]> {
  return (await readdir('/dev/shm')).filter((name) => name.startsWith('swivel-'));
}

/** A scope in which a Swivel may be ended by SIGKILL: `startSwivel(killable(t), …)`. */
export function killable(t: Pick<TestContext, 'after'>): Pick<TestContext, 'after'> {
  const isKill = (error: unknown) => error instanceof Error && error.message.startsWith('swivel ended with SIGKILL');
  const after = (hook: () => Promise<unknown>) =>
    t.after(() =>
      hook().catch((error: unknown) => {
        if (!isKill(error)) throw error;
      }),
    );
  return { after: after as TestContext['after'] };
}

/** Sees to it that processes are gone after the test, whatever happens to their parent. */
export function endAfter(t: Pick<TestContext, 'after'>, pids: readonly number[]): void {
  t.after(async () => {
    for (const pid of pids) {
      const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
      // The number may be another's by now.
      if (command.includes('main.ts')) process.kill(pid, 'SIGKILL');
    }
  });
}
