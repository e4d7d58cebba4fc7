import { basename } from 'node:path';
import type { TestContext } from 'node:test';
import { disk } from '../../../src/files/disk.ts';

type Operation = 'open' | 'stat' | 'readdir';

/**
 * Does something in the middle of whatever is being read: calls back before each system call on a path,
 * with the base name of the path and how often that name was come for.
 * @param meddle has to work synchronously, so that the operation finds what it left behind; what it returns is waited for
 */
export function beforeEach(
  t: TestContext,
  operation: Operation,
  meddle: (name: string, times: number) => unknown,
): ReadonlyMap<string, number> {
  const times = new Map<string, number>();
  const genuine = disk[operation] as (...parameters: unknown[]) => Promise<unknown>;
  t.mock.method(disk, operation, async (...parameters: unknown[]) => {
    const name = basename(String(parameters[0]));
    const count = (times.get(name) ?? 0) + 1;
    times.set(name, count);
    await meddle(name, count);
    return genuine(...parameters);
  });
  t.after(() => t.mock.restoreAll());
  return times;
}

/** Does something once, after one file was read and before another one is. */
export function betweenReadings(t: TestContext, first: string, second: string, action: () => void): void {
  const firstWasRead = Promise.withResolvers<void>();
  const genuine = disk.open;
  let pending = true;
  t.mock.method(disk, 'open', async (...parameters: Parameters<typeof genuine>) => {
    const name = basename(String(parameters[0]));
    if (name === second && pending) {
      pending = false;
      await firstWasRead.promise;
      action();
    }
    const handle = await genuine(...parameters);
    if (name === first) {
      const close = handle.close.bind(handle);
      handle.close = () => close().finally(firstWasRead.resolve);
    }
    return handle;
  });
  t.after(() => t.mock.restoreAll());
}
