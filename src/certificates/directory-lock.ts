import { mkdir, rmdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { systemCode } from '../errors.ts';

/** Milliseconds between two looks at a lock that somebody else holds. */
const interval = 20;

/**
 * Does something while no other process that asks for the same does it. The lock is a hidden directory `.lock`; one that stays the
 * same for too long was left behind by a process that died, and is taken away. Two that take it away at once may both go on: who writes
 * under it must leave something that can be recognised as unfinished.
 * @param directory must exist
 * @param patience milliseconds after which a lock counts as left behind
 * @throws the system's error when the directory cannot be written to
 */
export async function withDirectoryLock<T>(directory: string, task: () => Promise<T>, patience = 5000): Promise<T> {
  const lock = join(directory, '.lock');
  await acquire(lock, patience);
  try {
    return await task();
  } finally {
    await rmdir(lock).catch(() => {});
  }
}

async function acquire(lock: string, patience: number): Promise<void> {
  let seen: string | null = null;
  let since = 0;
  for (;;) {
    try {
      return await mkdir(lock);
    } catch (error) {
      if (systemCode(error) !== 'EEXIST') throw error;
    }
    const held = await identityOf(lock);
    if (held !== seen) {
      seen = held;
      since = performance.now();
    } else if (held !== null && performance.now() - since >= patience) {
      await rmdir(lock).catch(unlessGone);
    }
    await delay(interval);
  }
}

function unlessGone(error: unknown): void {
  if (systemCode(error) !== 'ENOENT') throw error;
}

/** Tells one lock from the next; null when it was just given back. @throws when something else stands in its place */
async function identityOf(lock: string): Promise<string | null> {
  const stats = await stat(lock, { bigint: true }).catch(() => null);
  if (stats && !stats.isDirectory()) throw Object.assign(new Error(`${lock} is in the way`), { code: 'ENOTDIR' });
  return stats && `${stats.ino}:${stats.ctimeNs}`;
}
