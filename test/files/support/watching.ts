import { readdirSync, readFileSync } from 'node:fs';
import { realpath, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { FileWatchService, type WatchOptions } from '../../../src/files/index.ts';
import { createLogger } from '../../../src/observe/index.ts';
import { temporaryDirectory } from '../../support/files.ts';
import type { Recorder } from './recorder.ts';

/** So long that within a test it never comes. */
export const never = 3_600_000;

/** A service that is closed after the test, with intervals that never pass unless told otherwise. */
export function watching(t: TestContext, options: Partial<WatchOptions> = {}, degraded?: (reason: string) => void) {
  const logger = createLogger({ level: 'silent', format: 'json' });
  const service = new FileWatchService(
    { mode: 'auto', resync: never, pollInterval: never, ...options },
    logger,
    degraded,
  );
  t.after(() => service.close());
  return service;
}

export async function place(t: TestContext): Promise<string> {
  return realpath(await temporaryDirectory(t));
}

/** How many inotify watches this process holds. */
export function inotifyWatches(): number {
  let count = 0;
  for (const descriptor of readdirSync('/proc/self/fdinfo')) {
    try {
      count += readFileSync(`/proc/self/fdinfo/${descriptor}`, 'utf8').match(/^inotify /gm)?.length ?? 0;
    } catch {
      // It was closed meanwhile.
    }
  }
  return count;
}

let files = 0;

/**
 * Writes a file into a directory and waits until that is heard of. What is written while the watch is armed anew goes unheard by
 * itself (the look at everything that follows is for that), so then another file is written.
 * @returns its path
 */
export async function writeUntilHeard(recorder: Recorder, directory: string): Promise<string> {
  for (;;) {
    const path = join(directory, `heard-${files++}.crt`);
    const armed = recorder.count('rescan', 'armed');
    await writeFile(path, '');
    while (recorder.count('created', path) === 0 && recorder.count('rescan', 'armed') === armed) await recorder.next();
    if (recorder.count('created', path) > 0) return path;
  }
}
