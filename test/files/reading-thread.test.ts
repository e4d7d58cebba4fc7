import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, realpath, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import { FileFault, SnapshotReader, ThreadedReader } from '../../src/files/index.ts';
import { temporaryDirectory } from '../support/files.ts';
import { moduleOf } from './support/unprivileged.ts';

const extensions = new Set(['.crt', '.key']);

describe('reading in a thread', () => {
  test('gives what reading in place gives: buffers, faults, what to watch', async (t) => {
    const path = await realpath(await temporaryDirectory(t));
    await mkdir(join(path, 'sub'));
    await mkdir(join(path, 'tls.crt'));
    for (const name of ['UPPER.CRT', 'a.key', 'sub/a.crt', 'notes.txt']) await writeFile(join(path, name), name);
    const snapshot = await new ThreadedReader().read({ path, extensions, thorough: false });
    const wanted = (name: string) => /\.(crt|key)$/i.test(name);
    const expected = await new SnapshotReader().read({ path, wanted, thorough: false });
    assert.deepEqual(snapshot, expected);
    assert.deepEqual([...snapshot.files.keys()], ['UPPER.CRT', 'a.key', 'sub/a.crt']);
    assert.ok(Buffer.isBuffer(snapshot.files.get('a.key')?.bytes));
    const fault = snapshot.faults.get('tls.crt');
    assert.ok(fault instanceof FileFault && fault.code === 'FILE_NOT_REGULAR');
  });

  test('rejects with the fault that reading in place rejects with', async (t) => {
    const path = join(await temporaryDirectory(t), 'loop');
    await symlink('loop', path);
    await assert.rejects(
      new ThreadedReader().read({ path, extensions, thorough: false }),
      (error) => error instanceof FileFault && error.code === 'SOURCE_UNREADABLE' && error.path === path,
    );
  });

  test('answers many at once, each with its own', async (t) => {
    const root = await temporaryDirectory(t);
    const paths = Array.from({ length: 20 }, (_, i) => join(root, `${i}.crt`));
    await Promise.all(paths.map((path, i) => writeFile(path, String(i))));
    const reader = new ThreadedReader();
    const snapshots = await Promise.all(paths.map((path) => reader.read({ path, extensions: null, thorough: true })));
    assert.deepEqual(
      snapshots.map(({ files }) => [...files.values()].map(({ bytes }) => bytes.toString())),
      paths.map((_, i) => [String(i)]),
    );
  });

  test('keeps the process while somebody waits, and not afterwards', { timeout: 20_000 }, async (t) => {
    const path = join(await temporaryDirectory(t), 'a.crt');
    await writeFile(path, 'a');
    const { stdout } = await promisify(execFile)(process.execPath, [
      '--eval',
      `import { ThreadedReader } from ${moduleOf('files/index.ts')};
       const reader = new ThreadedReader();
       const read = () => reader.read({ path: ${JSON.stringify(path)}, extensions: null, thorough: true });
       void read().then(read).then(({ files }) => console.log('files', files.size));`,
    ]);
    assert.equal(stdout, 'files 1\n');
  });
});
