import { readFile } from 'node:fs/promises';
import type { InotifyLimits } from './facts.ts';

/** The smaller of the limits of the user (inotify(7)) and of the user namespace (namespaces(7)). */
export async function inotifyLimits(): Promise<InotifyLimits> {
  const smallest = async (...paths: readonly string[]) => {
    const limits = (await Promise.all(paths.map(readNumber))).filter((limit) => limit !== null);
    return limits.length === 0 ? null : Math.min(...limits);
  };
  return {
    watches: await smallest('/proc/sys/fs/inotify/max_user_watches', '/proc/sys/user/max_inotify_watches'),
    instances: await smallest('/proc/sys/fs/inotify/max_user_instances', '/proc/sys/user/max_inotify_instances'),
  };
}

async function readNumber(path: string): Promise<number | null> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return /^\d+\s*$/.test(text) ? Number(text) : null;
}
