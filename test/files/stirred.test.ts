import assert from 'node:assert/strict';
import { mkdir, realpath, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { SnapshotReader, ThreadedReader } from '../../src/files/index.ts';
import { temporaryDirectory, writeAtomically } from '../support/files.ts';
import { beforeEach } from './support/meddle.ts';

const count = 200;
const wanted = (name: string) => name.endsWith('.pem');

/** A directory of many files, and a reader that has read it. */
async function filled(t: TestContext) {
  const path = await realpath(await temporaryDirectory(t));
  for (let i = 0; i < count; i += 1) await writeFile(join(path, `${i}.pem`), `content ${i}`);
  const reader = new SnapshotReader();
  const first = await reader.read({ path, wanted, thorough: false });
  const read = (...names: string[]) =>
    reader.read({ path, wanted, thorough: false, stirred: names.map((name) => join(path, name)) });
  return { path, first, read, reader };
}

const textOf = ({ files }: Awaited<ReturnType<SnapshotReader['read']>>, name: string) =>
  files.get(name)?.bytes.toString();

describe('of many files only those are looked at of which something was heard', () => {
  test('one that was replaced: it is read, no other is, nor is the directory listed', async (t) => {
    const { path, first, read } = await filled(t);
    await writeAtomically(join(path, '7.pem'), 'another content');
    const opened = beforeEach(t, 'open', () => {});
    const listed = beforeEach(t, 'readdir', () => {});
    const second = await read('7.pem', '.7.pem.tmp');
    assert.deepEqual([...opened.keys()], ['7.pem']);
    assert.equal(listed.size, 0);
    assert.equal(textOf(second, '7.pem'), 'another content');
    assert.deepEqual(second.since?.changed, new Set(['7.pem']));
    assert.equal(second.since?.files, first.files);
    for (const [name, content] of first.files) if (name !== '7.pem') assert.equal(second.files.get(name), content);
  });

  test('those that came and went, in their place among the others', async (t) => {
    const { path, first, read } = await filled(t);
    await rm(join(path, '3.pem'));
    await writeFile(join(path, '1000.pem'), 'new');
    const second = await read('3.pem', '1000.pem', 'notes.txt');
    assert.equal(second.files.has('3.pem'), false);
    assert.equal(textOf(second, '1000.pem'), 'new');
    assert.deepEqual([...second.files.keys()], [...second.files.keys()].toSorted());
    assert.equal(second.files.size, first.files.size);
  });

  test('one that holds what it held before is no change', async (t) => {
    const { path, first, read } = await filled(t);
    await writeAtomically(join(path, '7.pem'), 'content 7');
    const second = await read('7.pem');
    assert.equal(second.files, first.files);
    assert.equal(second.since?.changed.size, 0);
  });

  test('what changed unheard is found by the next look at everything', async (t) => {
    const { path, read, reader } = await filled(t);
    await writeAtomically(join(path, '7.pem'), 'heard');
    await writeAtomically(join(path, '8.pem'), 'unheard');
    assert.equal(textOf(await read('7.pem'), '8.pem'), 'content 8');
    assert.equal(textOf(await reader.read({ path, wanted, thorough: true }), '8.pem'), 'unheard');
  });

  for (const [what, act] of [
    ['a directory that came', (path: string) => mkdir(join(path, 'heard'))],
    ['a link that came', (path: string) => symlink('0.pem', join(path, 'heard.pem'))],
    ['the swap of a Kubernetes volume', (path: string) => symlink('.', join(path, '..data'))],
    ['a directory in the place of a file', (path: string) => mkdir(join(path, 'heard.pem'))],
  ] as const) {
    test(`${what} causes a look at everything`, async (t) => {
      const { path, read } = await filled(t);
      await act(path);
      await writeAtomically(join(path, '8.pem'), 'unheard');
      const heard = what.includes('Kubernetes') ? '..data' : what.includes('directory that') ? 'heard' : 'heard.pem';
      assert.equal(textOf(await read(heard), '8.pem'), 'unheard');
    });
  }

  test('so does the directory itself, when it becomes another one', async (t) => {
    const { path, read } = await filled(t);
    const next = `${path}-next`;
    await mkdir(next);
    t.after(() => rm(next, { recursive: true, force: true }));
    await writeFile(join(next, '7.pem'), 'of another directory');
    await rename(path, `${next}-last`);
    t.after(() => rm(`${next}-last`, { recursive: true, force: true }));
    await rename(next, path);
    const second = await read(path.slice(path.lastIndexOf('/') + 1));
    assert.deepEqual([...second.files.keys()], ['7.pem']);
  });
});

describe('between the threads', () => {
  test('only what changed travels, and what is given is whole', async (t) => {
    const { path } = await filled(t);
    const reader = new ThreadedReader();
    const request = { path, extensions: new Set(['.pem']), thorough: false };
    const first = await reader.read(request);
    assert.equal(first.since, undefined);
    await writeAtomically(join(path, '7.pem'), 'another content');
    await rm(join(path, '8.pem'));
    const second = await reader.read({ ...request, thorough: true });
    assert.deepEqual(second.since?.changed, new Set(['7.pem', '8.pem']));
    assert.equal(second.since?.files, first.files);
    assert.equal(textOf(second, '7.pem'), 'another content');
    for (const [name, content] of second.files) if (name !== '7.pem') assert.equal(first.files.get(name), content);
    assert.deepEqual(
      [...second.files.keys()],
      [...first.files.keys()].filter((name) => name !== '8.pem'),
    );
    const third = await reader.read({ ...request, thorough: true });
    assert.equal(third.files, second.files);
    await writeFile(join(path, '0000.pem'), 'new');
    const fourth = await reader.read({ ...request, stirred: [join(path, '0000.pem')] });
    assert.equal([...fourth.files.keys()].indexOf('0000.pem'), [...fourth.files.keys()].toSorted().indexOf('0000.pem'));
    assert.equal(textOf(fourth, '0000.pem'), 'new');
    assert.equal(textOf(fourth, '9.pem'), 'content 9');
  });
});
