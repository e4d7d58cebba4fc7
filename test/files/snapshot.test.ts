import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmod, mkdir, realpath, rename, rm, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { FileFault } from '../../src/files/read.ts';
import { type Snapshot, SnapshotReader } from '../../src/files/snapshot.ts';
import { temporaryDirectory, writeAtomically } from '../support/files.ts';
import { cannotDropPrivileges, moduleOf, runUnprivileged } from './support/unprivileged.ts';

const wanted = (name: string) => name.endsWith('.crt') || name.endsWith('.key');

async function place(t: TestContext): Promise<string> {
  return realpath(await temporaryDirectory(t));
}

function read(path: string, reader = new SnapshotReader(), thorough = false): Promise<Snapshot> {
  return reader.read({ path, wanted, thorough });
}

function textsOf({ files }: Snapshot): Record<string, string> {
  return Object.fromEntries([...files].map(([name, { bytes }]) => [name, bytes.toString()]));
}

function faultsOf({ faults }: Snapshot): Record<string, string> {
  return Object.fromEntries([...faults].map(([name, { code }]) => [name, code]));
}

describe('what a snapshot holds', () => {
  test('the wanted files of a directory and its sub-directories, by their path below it', async (t) => {
    const root = await place(t);
    await mkdir(join(root, 'shop', 'eu'), { recursive: true });
    for (const name of ['b.crt', 'a.crt', 'shop/tls.key', 'shop/eu/tls.crt', 'README', 'shop/notes.txt']) {
      await writeFile(join(root, name), name);
    }
    const snapshot = await read(root);
    assert.equal(snapshot.exists, true);
    assert.deepEqual([...snapshot.files.keys()], ['a.crt', 'b.crt', 'shop/eu/tls.crt', 'shop/tls.key']);
    assert.equal(textsOf(snapshot)['shop/eu/tls.crt'], 'shop/eu/tls.crt');
    assert.deepEqual(faultsOf(snapshot), {});
  });

  test('nothing hidden: neither files nor what is below a hidden directory', async (t) => {
    const root = await place(t);
    await mkdir(join(root, '.git'));
    for (const name of ['.ca.key', '.git/a.crt', 'a.crt']) await writeFile(join(root, name), name);
    assert.deepEqual(textsOf(await read(root)), { 'a.crt': 'a.crt' });
  });

  test('one file, by its own name, when the path is one', async (t) => {
    const root = await place(t);
    await writeFile(join(root, 'bundle.txt'), 'pem');
    const snapshot = await new SnapshotReader().read({
      path: join(root, 'bundle.txt'),
      wanted: () => true,
      thorough: false,
    });
    assert.deepEqual(textsOf(snapshot), { 'bundle.txt': 'pem' });
    assert.deepEqual(snapshot.watch, [{ directory: root, recursive: false }]);
  });

  test('nothing, without an error, when there is nothing at the path; and what to watch for it to come', async (t) => {
    const root = await place(t);
    const snapshot = await read(join(root, 'later'));
    assert.equal(snapshot.exists, false);
    assert.deepEqual(snapshot.watch, [{ directory: join(root, 'later'), recursive: true }]);
  });

  test('files deeper than any sane tree are left out, and the reading ends', async (t) => {
    const root = await place(t);
    const deep = join(root, ...Array.from({ length: 12 }, () => 'd'));
    await mkdir(deep, { recursive: true });
    await writeFile(join(deep, 'a.crt'), '');
    assert.deepEqual(textsOf(await read(root)), {});
  });
});

describe('a file that cannot be used is its own fault', () => {
  test('and the others are read: pipe, directory in the place of a file, far too large', {
    timeout: 5_000,
  }, async (t) => {
    const root = await place(t);
    await writeFile(join(root, 'good.crt'), 'good');
    execFileSync('mkfifo', [join(root, 'pipe.crt')]);
    await mkdir(join(root, 'tls.crt'));
    await writeFile(join(root, 'large.key'), '');
    await truncate(join(root, 'large.key'), 100 * 1024 * 1024);
    const snapshot = await read(root);
    assert.deepEqual(textsOf(snapshot), { 'good.crt': 'good' });
    assert.deepEqual(faultsOf(snapshot), {
      'large.key': 'FILE_TOO_LARGE',
      'pipe.crt': 'FILE_NOT_REGULAR',
      'tls.crt': 'FILE_NOT_REGULAR',
    });
  });

  test('a directory that is named like a file and holds some is a sub-directory', async (t) => {
    const root = await place(t);
    await mkdir(join(root, 'app.crt'));
    await writeFile(join(root, 'app.crt', 'a.crt'), 'a');
    const snapshot = await read(root);
    assert.deepEqual(textsOf(snapshot), { 'app.crt/a.crt': 'a' });
    assert.deepEqual(faultsOf(snapshot), {});
  });

  test('no permission: file, sub-directory, and a link into a closed directory', {
    skip: cannotDropPrivileges,
  }, async (t) => {
    const root = await place(t);
    await chmod(root, 0o755);
    for (const name of ['open', 'shut', 'archive']) await mkdir(join(root, name));
    const source = join(root, 'open');
    await writeFile(join(source, 'good.crt'), 'good');
    await writeFile(join(source, 'shut.key'), '', { mode: 0o000 });
    await writeFile(join(root, 'archive', 'privkey1.key'), '');
    await symlink(join(root, 'archive', 'privkey1.key'), join(source, 'privkey.key'));
    await mkdir(join(source, 'sub'), { mode: 0o000 });
    await chmod(join(root, 'archive'), 0o000);
    await chmod(join(root, 'shut'), 0o000);
    const result = await runUnprivileged<{ files: string[]; faults: Record<string, string>; whole: string }>(`
      import { SnapshotReader } from ${moduleOf('files/snapshot.ts')};
      const reader = new SnapshotReader();
      const read = (path) => reader.read({ path, wanted: () => true, thorough: false });
      const { files, faults } = await read(${JSON.stringify(source)});
      const whole = await read(${JSON.stringify(join(root, 'shut'))}).catch((error) => error.code + ' ' + error.message);
      const codes = Object.fromEntries([...faults].map(([name, fault]) => [name, fault.code]));
      console.log(JSON.stringify({ files: [...files.keys()], faults: codes, whole }));
    `);
    assert.deepEqual(result, {
      files: ['good.crt'],
      faults: { 'privkey.key': 'FILE_UNREADABLE', 'shut.key': 'FILE_UNREADABLE', sub: 'FILE_UNREADABLE' },
      whole: `SOURCE_UNREADABLE ${join(root, 'shut')} cannot be listed (EACCES)`,
    });
  });
});

describe('links', () => {
  test('a link to a directory is searched, and one into the tree does not go round for ever', async (t) => {
    const root = await place(t);
    await mkdir(join(root, 'certs', 'sub'), { recursive: true });
    await mkdir(join(root, 'elsewhere'));
    await writeFile(join(root, 'elsewhere', 'a.crt'), 'a');
    await writeFile(join(root, 'certs', 'sub', 'b.crt'), 'b');
    await symlink(join(root, 'elsewhere'), join(root, 'certs', 'linked'));
    await symlink('..', join(root, 'certs', 'sub', 'up'));
    const snapshot = await read(join(root, 'certs'));
    assert.deepEqual(textsOf(snapshot), { 'linked/a.crt': 'a', 'sub/b.crt': 'b' });
    assert.ok(snapshot.watch.some(({ directory }) => directory === join(root, 'elsewhere')));
  });

  test('one that leads nowhere, or in a circle, is as good as no file', async (t) => {
    const root = await place(t);
    await symlink('nothing', join(root, 'dangling.crt'));
    await symlink('loop.crt', join(root, 'loop.crt'));
    await writeFile(join(root, 'a.crt'), 'a');
    const snapshot = await read(root);
    assert.deepEqual(textsOf(snapshot), { 'a.crt': 'a' });
    assert.deepEqual(faultsOf(snapshot), {});
  });

  test('a linked source is watched where it stands and where it leads, with all below', async (t) => {
    const root = await place(t);
    await mkdir(join(root, 'real', 'sub'), { recursive: true });
    await symlink('real', join(root, 'link'));
    const { watch } = await read(join(root, 'link'));
    assert.deepEqual(watch, [
      { directory: join(root, 'link'), recursive: true },
      { directory: join(root, 'real'), recursive: true },
      { directory: root, recursive: false },
    ]);
  });

  test('a linked source whose target is to come is watched at both ends', async (t) => {
    const root = await place(t);
    await symlink(join(root, 'mnt', 'certs'), join(root, 'link'));
    const { exists, watch } = await read(join(root, 'link'));
    assert.equal(exists, false);
    assert.deepEqual(
      watch.map(({ directory }) => directory),
      [join(root, 'link'), root, join(root, 'mnt')],
    );
  });

  test('a link in the place of the source that goes in a circle is an error, not an absence', async (t) => {
    const root = await place(t);
    await symlink('loop', join(root, 'loop'));
    await assert.rejects(
      read(join(root, 'loop')),
      (error) => error instanceof FileFault && error.code === 'SOURCE_UNREADABLE',
    );
  });
});

describe('what is read again', () => {
  /** As if the files had been left alone for a while: contents younger than the clock's tick are never trusted. */
  function later(t: TestContext): void {
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 10_000 });
  }

  test('not a file that did not change, unless asked to be thorough', async (t) => {
    const root = await place(t);
    await writeFile(join(root, 'a.crt'), 'a');
    later(t);
    const reader = new SnapshotReader();
    const first = (await read(root, reader)).files.get('a.crt');
    const second = (await read(root, reader)).files.get('a.crt');
    const thorough = (await read(root, reader, true)).files.get('a.crt');
    assert.equal(second, first);
    assert.notEqual(thorough, first);
    assert.equal(thorough?.digest, first?.digest);
  });

  test('a file that may have changed within the same tick of the clock', async (t) => {
    const root = await place(t);
    await writeFile(join(root, 'a.crt'), 'a');
    const reader = new SnapshotReader();
    const first = (await read(root, reader)).files.get('a.crt');
    assert.notEqual((await read(root, reader)).files.get('a.crt'), first);
  });

  for (const thorough of [false, true]) {
    test(`a content of the same length and the same mtime (${thorough ? 'thorough' : 'quick'})`, async (t) => {
      const root = await place(t);
      const path = join(root, 'a.crt');
      const stamp = new Date('2024-01-01T00:00:00Z');
      await writeFile(path, 'one');
      await utimes(path, stamp, stamp);
      const reader = new SnapshotReader();
      later(t);
      assert.deepEqual(textsOf(await read(root, reader)), { 'a.crt': 'one' });
      await writeFile(path, 'two');
      await utimes(path, stamp, stamp);
      assert.deepEqual(textsOf(await read(root, reader, thorough)), { 'a.crt': 'two' });
    });
  }

  test('files that came, went, and came back', async (t) => {
    const root = await place(t);
    const reader = new SnapshotReader();
    assert.deepEqual(textsOf(await read(root, reader)), {});
    await writeAtomically(join(root, 'a.crt'), 'a');
    assert.deepEqual(textsOf(await read(root, reader)), { 'a.crt': 'a' });
    await rm(join(root, 'a.crt'));
    assert.deepEqual(textsOf(await read(root, reader)), {});
    await writeAtomically(join(root, 'a.crt'), 'a');
    assert.deepEqual(textsOf(await read(root, reader)), { 'a.crt': 'a' });
    await rename(root, `${root}-away`);
    t.after(() => rm(`${root}-away`, { recursive: true }));
    assert.equal((await read(root, reader)).exists, false);
  });
});
