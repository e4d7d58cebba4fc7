import assert from 'node:assert/strict';
import fs, { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { mkdir, rename, rm, symlink } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setImmediate as yieldToEvents } from 'node:timers/promises';
import { Recorder } from './support/recorder.ts';
import { inotifyWatches, place, watching, writeUntilHeard } from './support/watching.ts';

const all = (directory: string) => ({ directory, recursive: true });

/** A watched directory, and what is heard of it once it is watched. */
async function watched(t: Parameters<typeof watching>[0], options: Parameters<typeof watching>[1] = {}) {
  const root = await place(t);
  const directory = join(root, 'certs');
  await mkdir(directory);
  const recorder = new Recorder();
  watching(t, options).subscribe(recorder.listener, [all(directory)]);
  await recorder.until('rescan', 'armed');
  return { root, directory, recorder };
}

/** Puts another directory in the place of one. */
function replaceDirectory(root: string, name: string, content: string): void {
  mkdirSync(join(root, 'next'));
  writeFileSync(join(root, 'next', 'tls.crt'), content);
  renameSync(join(root, name), join(root, 'last'));
  renameSync(join(root, 'next'), join(root, name));
  rmSync(join(root, 'last'), { recursive: true });
}

describe('a watched directory that becomes another one goes on being watched', { timeout: 60_000 }, () => {
  test('deleted and made again', async (t) => {
    const { directory, recorder } = await watched(t);
    for (let i = 1; i <= 5; i += 1) {
      await rm(directory, { recursive: true });
      await recorder.until('deleted', directory, i);
      await mkdir(directory);
      await recorder.until('rescan', 'armed', i + 1);
      await writeUntilHeard(recorder, directory);
    }
  });

  test('replaced by rename', async (t) => {
    const { root, directory, recorder } = await watched(t);
    for (let i = 1; i <= 5; i += 1) {
      replaceDirectory(root, 'certs', String(i));
      await recorder.until('rescan', 'armed', i + 1);
      await writeUntilHeard(recorder, directory);
    }
  });

  test('a sub-directory of it, too', async (t) => {
    const { directory, recorder } = await watched(t);
    await mkdir(join(directory, 'sub'));
    await recorder.until('created', join(directory, 'sub'));
    replaceDirectory(directory, 'sub', 'x');
    await recorder.until('created', join(directory, 'sub', 'tls.crt'));
    await writeUntilHeard(recorder, join(directory, 'sub'));
  });

  test('reached through a link that is pointed elsewhere', async (t) => {
    const root = await place(t);
    for (const name of ['one', 'two']) await mkdir(join(root, name));
    await symlink('one', join(root, 'link'));
    const targets = (name: string) => [
      all(join(root, 'link')),
      all(join(root, name)),
      { directory: root, recursive: false },
    ];
    const recorder = new Recorder();
    const subscription = watching(t).subscribe(recorder.listener, targets('one'));
    await recorder.until('rescan', 'armed');
    await symlink('two', join(root, 'next'));
    await rename(join(root, 'next'), join(root, 'link'));
    await recorder.until('stirred', join(root, 'link'));
    await recorder.until('rescan', 'armed', 2);
    subscription.update(targets('two'));
    await recorder.until('rescan', 'armed', 3);
    await writeUntilHeard(recorder, join(root, 'two'));
  });

  test('one that does not exist yet, nor the one above it', async (t) => {
    const root = await place(t);
    const directory = join(root, 'mnt', 'certs');
    const recorder = new Recorder();
    watching(t).subscribe(recorder.listener, [all(directory)]);
    await recorder.until('rescan', 'armed');
    await mkdir(join(root, 'mnt'));
    await mkdir(directory);
    await recorder.until('rescan', 'armed', 2);
    await writeUntilHeard(recorder, directory);
  });

  test('one whose replacement went unheard is found with the next look at everything', async (t) => {
    const root = await place(t);
    await mkdir(join(root, 'v1'));
    await mkdir(join(root, 'v2'));
    await symlink('v1', join(root, 'link'));
    const directory = join(root, 'link', 'certs');
    await mkdir(join(root, 'v1', 'certs'));
    await mkdir(join(root, 'v2', 'certs'));
    const recorder = new Recorder();
    watching(t, { resync: 20 }).subscribe(recorder.listener, [all(directory)]);
    await recorder.until('rescan', 'armed');
    // Nothing happens in a directory that is watched: a parent of it leads elsewhere.
    await symlink('v2', join(root, 'next'));
    await rename(join(root, 'next'), join(root, 'link'));
    await recorder.until('rescan', 'armed', 2);
    await writeUntilHeard(recorder, directory);
  });
});

describe('a storm leaves nothing behind', { timeout: 60_000 }, () => {
  test('a thousand replacements of the directory: one watch, and each change is told once, not a thousand times', async (t) => {
    const { root, directory, recorder } = await watched(t);
    const watches = inotifyWatches();
    for (let i = 0; i < 1_000; i += 1) {
      replaceDirectory(root, 'certs', String(i));
      await yieldToEvents();
    }
    await writeUntilHeard(recorder, directory);
    await settledWatches(watches);
    const path = await writeUntilHeard(recorder, directory);
    assert.equal(recorder.count('created', path), 1);
    assert.ok(recorder.count('stirred', path) <= 3, `${recorder.count('stirred', path)} times`);
  });

  test('a thousand changes of what is watched: one watch', async (t) => {
    const root = await place(t);
    for (let i = 0; i < 10; i += 1) mkdirSync(join(root, String(i)));
    const recorder = new Recorder();
    const subscription = watching(t).subscribe(recorder.listener, [all(join(root, '0'))]);
    await recorder.until('rescan', 'armed');
    for (let i = 0; i < 1_000; i += 1) {
      subscription.update([all(join(root, String(i % 10)))]);
      if (i % 100 === 0) await yieldToEvents();
    }
    await writeUntilHeard(recorder, join(root, '9'));
    await settledWatches(1);
  });

  test('a thousand replacements of a file: no more watches than before', async (t) => {
    const { directory, recorder } = await watched(t);
    const path = join(directory, 'tls.crt');
    writeFileSync(path, '0');
    await recorder.until('created', path);
    const watches = inotifyWatches();
    for (let i = 1; i <= 1_000; i += 1) {
      writeFileSync(join(directory, '.tls.crt'), String(i));
      renameSync(join(directory, '.tls.crt'), path);
      if (i % 50 === 0) await yieldToEvents();
    }
    await recorder.until('modified', path);
    await writeUntilHeard(recorder, directory);
    await settledWatches(watches);
  });
});

/** Waits until this process holds no more inotify watches than that; the time limit of the test is the bound. */
async function settledWatches(count: number): Promise<void> {
  while (inotifyWatches() > count) await yieldToEvents();
}

describe('a file system that does not answer', { timeout: 20_000 }, () => {
  /** Two directories, of which one does not answer when it is asked what it is. */
  async function half(t: Parameters<typeof watching>[0]) {
    const root = await place(t);
    const [stuck, well] = [join(root, 'stuck'), join(root, 'well')];
    for (const directory of [stuck, well]) mkdirSync(directory);
    const state = { answers: true, asked: 0 };
    const genuine = fs.promises.stat as (...parameters: unknown[]) => Promise<unknown>;
    t.mock.method(fs.promises, 'stat', (...parameters: unknown[]) => {
      if (parameters[0] !== stuck || state.answers) return genuine(...parameters);
      state.asked += 1;
      return new Promise(() => {});
    });
    syncBuiltinESMExports();
    t.after(() => {
      t.mock.restoreAll();
      syncBuiltinESMExports();
    });
    return { state, well, targets: [all(well), all(stuck)] };
  }

  test('holds up neither the others nor the looks at everything, and is asked once', async (t) => {
    const { state, well, targets } = await half(t);
    const recorder = new Recorder();
    watching(t, { resync: 10 }).subscribe(recorder.listener, targets);
    await recorder.until('rescan', 'armed');
    state.answers = false;
    await recorder.until('rescan', 'resync', recorder.count('rescan', 'resync') + 10);
    await writeUntilHeard(recorder, well);
    assert.equal(state.asked, 1);
  });

  test('holds up neither the others nor the end when it is so from the beginning', async (t) => {
    const { state, well, targets } = await half(t);
    state.answers = false;
    const recorder = new Recorder();
    const service = watching(t, { resync: 10 });
    service.subscribe(recorder.listener, targets);
    const path = join(well, 'a.crt');
    while (recorder.count('stirred', path) === 0) {
      writeFileSync(path, 'x');
      await recorder.until('rescan', 'resync', recorder.count('rescan', 'resync') + 1);
    }
    await service.close();
  });
});
