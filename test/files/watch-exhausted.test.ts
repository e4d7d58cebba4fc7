import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { cannotUnshare } from './support/namespaces.ts';
import { place } from './support/watching.ts';

const child = fileURLToPath(new URL('./support/exhausted-child.ts', import.meta.url));
const limits = '/proc/sys/user';

interface Outcome {
  polling: boolean;
  told: string[];
  rescans: string[];
}

async function run(
  t: Parameters<typeof place>[0],
  limit: string,
  value: number,
  ...options: string[]
): Promise<Outcome> {
  const directory = await place(t);
  await chmod(directory, 0o777);
  // More than one thing to watch: more than one refusal.
  if (value === 0) for (const name of ['a', 'b']) await mkdir(join(directory, name));
  const script = `echo ${value} > ${limits}/${limit}; exec "$@"`;
  const command = [process.execPath, child, directory, ...options];
  const { stdout } = await promisify(execFile)('unshare', ['-Ur', 'sh', '-ec', script, 'sh', ...command]);
  return JSON.parse(stdout) as Outcome;
}

describe('where the system refuses to watch', {
  timeout: 30_000,
  skip: cannotUnshare('-Ur', `echo 100 > ${limits}/max_inotify_watches`),
}, () => {
  for (const [limit, code] of [
    ['max_inotify_watches', 'ENOSPC'],
    ['max_inotify_instances', 'EMFILE'],
  ] as const) {
    test(`${code}: files are polled instead, that is told once, and the process can end`, async (t) => {
      const { polling, told, rescans } = await run(t, limit, 0, 'auto');
      assert.equal(polling, true);
      assert.equal(told.length, 1);
      assert.match(told[0] ?? '', new RegExp(`^${code}`));
      assert.deepEqual(rescans, ['lost', 'poll']);
    });
  }

  test('also when it comes to that only later', async (t) => {
    const { polling, told, rescans } = await run(t, 'max_inotify_watches', 1, 'auto', 'growing');
    assert.equal(polling, true);
    assert.equal(told.length, 1);
    assert.deepEqual(rescans, ['armed', 'lost', 'poll']);
  });

  test('in mode events nothing is polled, and the looks at everything go on', async (t) => {
    const { polling, told, rescans } = await run(t, 'max_inotify_watches', 0, 'events');
    assert.equal(polling, false);
    assert.deepEqual(told, []);
    assert.deepEqual(rescans.toSorted(), ['armed', 'lost', 'resync']);
  });
});
