import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';

/** What there is of the machine for this process. */
export interface Machine {
  /** Whole CPUs, at least 1. */
  readonly cpus: number;
  /** Bytes; null when nothing limits it below what the machine has. */
  readonly memory: number | null;
}

const mebibyte = 2 ** 20;
/** What a worker and the primary take with some certificates and connections; measured: 95 and 150 MB resident. */
const workerMemory = 128 * mebibyte;
const primaryMemory = 192 * mebibyte;

/** How many workers a machine carries: one for each CPU, and no more than its memory holds. At least one. Pure. */
export function workersFor({ cpus, memory }: Machine): number {
  if (memory === null) return cpus;
  return Math.max(1, Math.min(cpus, Math.floor((memory - primaryMemory) / workerMemory)));
}

/** This machine, or what a container or service manager left of it (CPU affinity and quota, memory limit). */
export function thisMachine(): Machine {
  const memory = process.constrainedMemory();
  const cpus = Math.min(availableParallelism(), quotaOf() ?? Number.POSITIVE_INFINITY);
  return { cpus, memory: memory > 0 && memory < 2 ** 53 ? memory : null };
}

/**
 * The CPU quota of the cgroups that this process is in, in whole CPUs (cgroup v2 `cpu.max`, v1 `cpu.cfs_quota_us`). libuv looks at it as
 * well, but overlooks a `cpu` hierarchy of v1 that is mounted without `cpuacct`.
 * @param root where /proc and /sys are
 * @returns null when there is none
 */
export function quotaOf(root = '/'): number | null {
  try {
    const lines = readFileSync(join(root, 'proc/self/cgroup'), 'utf8').trim().split('\n');
    const quotas = lines.flatMap((line) => {
      const [, controllers = '', ...rest] = line.split(':');
      const path = rest.join(':');
      if (controllers === '') return quotasAbove(root, mountPoint(root, 'cgroup2', null), path, quotaV2);
      if (!controllers.split(',').includes('cpu')) return [];
      return quotasAbove(root, mountPoint(root, 'cgroup', 'cpu'), path, quotaV1);
    });
    return quotas.length === 0 ? null : Math.max(1, Math.floor(Math.min(...quotas)));
  } catch {
    return null;
  }
}

/** Where a hierarchy is mounted (proc_pid_mountinfo(5)), and which part of it. */
function mountPoint(root: string, type: string, controller: string | null): { at: string; part: string } | null {
  for (const line of readFileSync(join(root, 'proc/self/mountinfo'), 'utf8').split('\n')) {
    const [before = '', after = ''] = line.split(' - ');
    const [fsType, , options = ''] = after.split(' ');
    if (fsType !== type || (controller !== null && !options.split(',').includes(controller))) continue;
    const [, , , part = '/', at = ''] = before.split(' ');
    return { at, part };
  }
  return null;
}

/** The quotas of a group and of all above it, as far as they can be seen: each of them holds. */
function quotasAbove(
  root: string,
  mount: { at: string; part: string } | null,
  path: string,
  quotaIn: (directory: string) => number | null,
): number[] {
  if (!mount) return [];
  // In a container the group of the container is what is mounted.
  const below = path.startsWith(mount.part) ? path.slice(mount.part.length) : path;
  const quotas: number[] = [];
  for (let group = join('/', below); ; group = dirname(group)) {
    const quota = quotaIn(join(root, mount.at, group));
    if (quota !== null) quotas.push(quota);
    if (group === '/') return quotas;
  }
}

function quotaV2(directory: string): number | null {
  const [quota = 'max', period = '100000'] = textOf(join(directory, 'cpu.max')).split(' ');
  return ratio(Number(quota), Number(period));
}

function quotaV1(directory: string): number | null {
  const quota = textOf(join(directory, 'cpu.cfs_quota_us'));
  return ratio(Number(quota || '-1'), Number(textOf(join(directory, 'cpu.cfs_period_us'))));
}

function ratio(quota: number, period: number): number | null {
  return quota > 0 && period > 0 ? quota / period : null;
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return '';
  }
}
