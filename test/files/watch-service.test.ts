import assert from 'node:assert/strict';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { KubernetesVolume, writeAtomically } from '../support/files.ts';
import { Recorder } from './support/recorder.ts';
import { inotifyWatches, never, place, watching } from './support/watching.ts';

const all = (directory: string) => ({ directory, recursive: true });
const flat = (directory: string) => ({ directory, recursive: false });

describe('changes are told by kind', { timeout: 20_000 }, () => {
  test('created, modified and deleted, each with its path, after an untyped first sign', async (t) => {
    const root = await place(t);
    // A file for each: an event may come late, when the next change was made already.
    for (const name of ['modified.crt', 'deleted.crt']) await writeFile(join(root, name), 'one');
    const recorder = new Recorder();
    watching(t).subscribe(recorder.listener, [all(root)]);
    await recorder.until('rescan', 'armed');
    for (const [kind, action] of [
      ['created', (path: string) => writeFile(path, 'one')],
      ['modified', (path: string) => writeFile(path, 'two, longer')],
      ['deleted', (path: string) => rm(path)],
    ] as const) {
      const path = join(root, `${kind}.crt`);
      await action(path);
      await recorder.until(kind, path);
      const changes = recorder.changes.filter((change) => change.endsWith(path));
      assert.equal(changes[0], `stirred ${path}`);
      const typed = changes.filter((change) => !change.startsWith('stirred'));
      assert.ok(
        typed.every((change) => change === `${kind} ${path}`),
        typed.join(),
      );
    }
  });

  test('a file that is replaced by rename stirs, and is told as modified', async (t) => {
    const root = await place(t);
    const path = join(root, 'tls.crt');
    await writeFile(path, 'one');
    const recorder = new Recorder();
    watching(t).subscribe(recorder.listener, [all(root)]);
    await recorder.until('rescan', 'armed');
    await writeAtomically(path, 'two');
    await recorder.until('stirred', path);
    await recorder.until('modified', path);
  });

  test('the swap of a Kubernetes volume stirs its directory', async (t) => {
    const root = await place(t);
    const volume = new KubernetesVolume(root);
    await volume.update({ 'tls.crt': 'one' });
    const recorder = new Recorder();
    watching(t).subscribe(recorder.listener, [all(root)]);
    await recorder.until('rescan', 'armed');
    await volume.update({ 'tls.crt': 'two' });
    await recorder.until('stirred', join(root, '..data'));
  });

  test('in sub-directories as well, also in those that come later, and in none that are hidden', async (t) => {
    const root = await place(t);
    for (const name of ['sub', '.hidden']) await mkdir(join(root, name));
    const recorder = new Recorder();
    watching(t).subscribe(recorder.listener, [all(root)]);
    await recorder.until('rescan', 'armed');
    await mkdir(join(root, 'new'));
    await recorder.until('created', join(root, 'new'));
    await writeFile(join(root, '.hidden', 'a.crt'), '');
    for (const name of ['sub', 'new']) {
      await writeFile(join(root, name, 'a.crt'), '');
      await recorder.until('created', join(root, name, 'a.crt'));
    }
    assert.ok(!recorder.changes.some((change) => change.includes('.hidden/')), recorder.changes.join());
  });
});

describe('subscribers', { timeout: 20_000 }, () => {
  test('are told of their own paths only', async (t) => {
    const root = await place(t);
    for (const name of ['a', 'a/sub', 'b', 'ab']) await mkdir(join(root, name));
    const service = watching(t);
    const [a, b, below] = [new Recorder(), new Recorder(), new Recorder()];
    service.subscribe(a.listener, [flat(join(root, 'a'))]);
    await a.until('rescan', 'armed', 1);
    service.subscribe(b.listener, [all(join(root, 'b')), flat(join(root, 'ab'))]);
    await a.until('rescan', 'armed', 2);
    service.subscribe(below.listener, [all(join(root, 'a'))]);
    await a.until('rescan', 'armed', 3);
    const files = ['a/1', 'a/sub/2', 'b/3', 'ab/4'].map((name) => join(root, name));
    for (const file of files) await writeFile(file, '');
    await a.until('created', join(root, 'a/1'));
    await below.until('created', join(root, 'a/sub/2'));
    await b.until('created', join(root, 'ab/4'));
    await b.until('created', join(root, 'b/3'));
    const paths = (recorder: Recorder) =>
      [...new Set(recorder.changes.map((change) => change.split(' ')[1]?.slice(root.length + 1)))].sort();
    assert.deepEqual(paths(a), ['a/1']);
    assert.deepEqual(paths(b), ['ab/4', 'b/3']);
    assert.deepEqual(paths(below), ['a/1', 'a/sub/2']);
  });

  test('need not listen to everything, or to anything', async (t) => {
    const root = await place(t);
    const path = join(root, 'a.crt');
    await writeFile(path, 'one');
    const service = watching(t, { resync: 5 });
    const recorder = new Recorder();
    const { modified, rescan } = recorder.listener;
    service.subscribe({}, [all(root)]);
    service.subscribe({ modified, rescan }, [all(root)]);
    await recorder.until('rescan', 'armed');
    await recorder.until('rescan', 'resync');
    await writeFile(path, 'two, longer');
    await recorder.until('modified', path);
    assert.deepEqual(new Set(recorder.changes), new Set([`modified ${path}`]));
  });

  test('that are gone hear nothing more, and the others go on hearing', async (t) => {
    const root = await place(t);
    const service = watching(t);
    const [gone, staying] = [new Recorder(), new Recorder()];
    const subscription = service.subscribe(gone.listener, [all(root)]);
    service.subscribe(staying.listener, [all(root)]);
    await staying.until('rescan', 'armed');
    subscription.close();
    subscription.close();
    gone.clear();
    await writeFile(join(root, 'a.crt'), '');
    await staying.until('created', join(root, 'a.crt'));
    assert.deepEqual(gone.heard, []);
  });

  test('may change what they watch', async (t) => {
    const root = await place(t);
    const [before, after] = ['before', 'after'].map((name) => join(root, name)) as [string, string];
    await mkdir(before);
    await mkdir(after);
    const recorder = new Recorder();
    const subscription = watching(t).subscribe(recorder.listener, [all(before)]);
    await recorder.until('rescan', 'armed', 1);
    subscription.update([all(after)]);
    await recorder.until('rescan', 'armed', 2);
    await writeFile(join(before, 'unheard.crt'), '');
    await writeFile(join(after, 'heard.crt'), '');
    await recorder.until('created', join(after, 'heard.crt'));
    assert.ok(!recorder.changes.some((change) => change.includes('unheard')));
  });

  test('may watch nothing for a while', async (t) => {
    const root = await place(t);
    const recorder = new Recorder();
    const subscription = watching(t).subscribe(recorder.listener);
    for (let i = 1; i <= 3; i += 1) {
      subscription.update([all(root)]);
      await recorder.until('rescan', 'armed', 2 * i - 1);
      assert.ok(inotifyWatches() > 0);
      subscription.update([]);
      await recorder.until('rescan', 'armed', 2 * i);
      assert.equal(inotifyWatches(), 0);
    }
  });

  test('that say the same again cause nothing', async (t) => {
    const root = await place(t);
    const recorder = new Recorder();
    const subscription = watching(t).subscribe(recorder.listener, [all(root), flat(join(root, 'x'))]);
    await recorder.until('rescan', 'armed');
    subscription.update([all(root), flat(join(root, 'x'))]);
    subscription.update([flat(join(root, 'x')), all(root)]);
    await writeFile(join(root, 'a.crt'), '');
    await recorder.until('created', join(root, 'a.crt'));
    assert.equal(recorder.count('rescan', 'armed'), 1);
  });
});

describe('looking again at everything', { timeout: 20_000 }, () => {
  test('is asked for as soon as the watch is armed, so that nothing falls between reading and watching', async (t) => {
    const recorder = new Recorder();
    watching(t).subscribe(recorder.listener, [all(await place(t))]);
    await recorder.until('rescan', 'armed');
    assert.deepEqual(recorder.heard, [{ kind: 'rescan', about: 'armed' }]);
  });

  test('is asked for at an interval, events or not', async (t) => {
    const recorder = new Recorder();
    watching(t, { resync: 5 }).subscribe(recorder.listener, [all(await place(t))]);
    await recorder.until('rescan', 'resync', 3);
  });

  test('is all there is in mode poll: nothing is watched', async (t) => {
    const root = await place(t);
    const recorder = new Recorder();
    const service = watching(t, { mode: 'poll', pollInterval: 5 });
    const subscription = service.subscribe(recorder.listener, [all(root)]);
    assert.equal(service.polling, true);
    await recorder.until('rescan', 'poll', 2);
    await writeFile(join(root, 'a.crt'), '');
    subscription.update([all(join(root, 'other'))]);
    await recorder.until('rescan', 'poll', recorder.heard.length + 2);
    assert.deepEqual(new Set(recorder.heard.map(({ kind, about }) => `${kind} ${about}`)), new Set(['rescan poll']));
    assert.equal(inotifyWatches(), 0);
  });

  test('ends with the service', async (t) => {
    const root = await place(t);
    const [closed, other] = [new Recorder(), new Recorder()];
    const service = watching(t, { resync: 5 });
    service.subscribe(closed.listener, [all(root)]);
    await closed.until('rescan', 'resync');
    await service.close();
    await service.close();
    assert.equal(inotifyWatches(), 0);
    closed.clear();
    watching(t, { resync: 5 }).subscribe(other.listener, [all(root)]);
    await other.until('rescan', 'resync', 3);
    await writeFile(join(root, 'a.crt'), '');
    await other.until('created', join(root, 'a.crt'));
    assert.deepEqual(closed.heard, []);
  });

  test('ends with the service also while the watch is being armed', async (t) => {
    const recorder = new Recorder();
    const service = watching(t);
    service.subscribe(recorder.listener, [all(await place(t))]);
    await service.close();
    assert.equal(inotifyWatches(), 0);
  });
});

describe('mode off', { timeout: 20_000 }, () => {
  test('calls nothing, watches nothing and sets no timer', async (t) => {
    const root = await place(t);
    const [off, on] = [new Recorder(), new Recorder()];
    const resources = process.getActiveResourcesInfo().toSorted();
    const subscription = watching(t, { mode: 'off', resync: 1, pollInterval: 1 }).subscribe(off.listener, [all(root)]);
    subscription.update([all(join(root, 'sub'))]);
    assert.deepEqual(process.getActiveResourcesInfo().toSorted(), resources);
    watching(t, { resync: 5, pollInterval: never }).subscribe(on.listener, [all(root)]);
    await on.until('rescan', 'armed');
    await writeFile(join(root, 'a.crt'), '');
    await on.until('created', join(root, 'a.crt'));
    await on.until('rescan', 'resync', 3);
    assert.deepEqual(off.heard, []);
  });
});
