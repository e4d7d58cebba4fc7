import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as later } from 'node:timers/promises';
import { ThreadedReader } from '../../src/files/index.ts';
import { temporaryDirectory } from '../support/files.ts';

/** Why there is no FUSE here; undefined when there is. */
function missing(): string | undefined {
  if (spawnSync('bindfs', ['--version']).error) return 'bindfs is not installed';
  return existsSync('/dev/fuse') && process.getuid?.() === 0 ? undefined : 'FUSE cannot be mounted';
}

/** A directory seen through FUSE, whose daemon can be stopped. */
async function mountFuse(source: string, mount: string): Promise<ChildProcess> {
  await mkdir(mount);
  const daemon = spawn('bindfs', ['-f', source, mount], { stdio: 'ignore' });
  // The daemon does not tell when it has mounted; the file shows it.
  while (!existsSync(join(mount, 'a.crt'))) await later(5);
  return daemon;
}

async function unmount(daemon: ChildProcess, mount: string): Promise<void> {
  daemon.kill('SIGCONT');
  const ended = once(daemon, 'exit');
  spawnSync('umount', [mount]);
  await ended;
}

const reason = process.env['CI'] === 'true' ? undefined : missing();

test('a file system that does not answer holds up its own source only', { skip: reason ?? false }, async (t) => {
  // Hooks run in the order of their making: what is mounted goes before the directory it is mounted in.
  let release = async () => {};
  t.after(() => release());
  const root = await temporaryDirectory(t);
  for (const name of ['behind', 'well']) {
    await mkdir(join(root, name));
    await writeFile(join(root, name, 'a.crt'), name);
  }
  const daemon = await mountFuse(join(root, 'behind'), join(root, 'mount'));
  release = () => unmount(daemon, join(root, 'mount'));
  const read = async (reader: ThreadedReader, name: string) => {
    const snapshot = await reader.read({ path: join(root, name), extensions: null, thorough: true });
    return snapshot.files.get('a.crt')?.bytes.toString();
  };
  const [stuck, well] = [new ThreadedReader(), new ThreadedReader()];
  assert.deepEqual(await Promise.all([read(stuck, 'mount'), read(well, 'well')]), ['behind', 'well']);

  daemon.kill('SIGSTOP');
  let answered = false;
  const late = read(stuck, 'mount').finally(() => {
    answered = true;
  });
  assert.equal(await read(well, 'well'), 'well');
  assert.equal(await read(well, 'well'), 'well');
  assert.equal(answered, false);

  daemon.kill('SIGCONT');
  assert.equal(await late, 'behind');
});
