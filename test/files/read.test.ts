import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, mkdir, readdir, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { FileFault, fileSizeLimit, readContent } from '../../src/files/read.ts';
import { temporaryDirectory } from '../support/files.ts';
import { cannotDropPrivileges, moduleOf, runUnprivileged } from './support/unprivileged.ts';

const fault = (code: string, path: string) => (error: unknown) =>
  error instanceof FileFault && error.code === code && error.path === path && error.message.includes(path);

describe('reading a file', () => {
  test('gives its bytes, their digest and what identifies it', async (t) => {
    const path = join(await temporaryDirectory(t), 'file');
    const bytes = Buffer.from([0, 255, 10, 13, 128]);
    await writeFile(path, bytes);
    const content = await readContent(path);
    assert.ok(content);
    assert.deepEqual(content.bytes, bytes);
    assert.equal(content.digest, createHash('sha256').update(bytes).digest('hex'));
    assert.equal(content.identity.size, 5n);
    assert.equal(content.path, path);
  });

  test('gives null when there is none, also when its directory is none', async (t) => {
    const directory = await temporaryDirectory(t);
    await writeFile(join(directory, 'file'), '');
    assert.equal(await readContent(join(directory, 'nothing')), null);
    assert.equal(await readContent(join(directory, 'file', 'below')), null);
  });

  test('does not block on a pipe that nobody writes to', { timeout: 5_000 }, async (t) => {
    const path = join(await temporaryDirectory(t), 'pipe');
    execFileSync('mkfifo', [path]);
    await assert.rejects(readContent(path), fault('FILE_NOT_REGULAR', path));
  });

  test('refuses a directory and a device, and says which it is', async (t) => {
    const path = join(await temporaryDirectory(t), 'tls.crt');
    await mkdir(path);
    await assert.rejects(readContent(path), /tls\.crt is a directory$/);
    await assert.rejects(readContent('/dev/zero'), fault('FILE_NOT_REGULAR', '/dev/zero'));
  });

  test('refuses what is far larger than any certificate, without reading it', async (t) => {
    const path = join(await temporaryDirectory(t), 'large');
    await writeFile(path, Buffer.alloc(fileSizeLimit));
    assert.equal((await readContent(path))?.bytes.length, fileSizeLimit);
    await truncate(path, 100 * fileSizeLimit);
    await assert.rejects(readContent(path), fault('FILE_TOO_LARGE', path));
    await assert.rejects(readContent(path), /large has 104857600 bytes$/);
  });

  const endless = '/proc/kallsyms';
  test('stops at the limit where the size is a lie', {
    skip: existsSync(endless) ? false : `no ${endless}`,
  }, async () => {
    await assert.rejects(readContent(endless), fault('FILE_TOO_LARGE', endless));
  });

  test('says that a file cannot be read, with the reason of the system', { skip: cannotDropPrivileges }, async (t) => {
    const directory = await temporaryDirectory(t);
    await chmod(directory, 0o755);
    const path = join(directory, 'tls.key');
    await writeFile(path, 'secret');
    await chmod(path, 0o000);
    const [code, message] = await runUnprivileged<string[]>(`
      import { readContent } from ${moduleOf('files/read.ts')};
      const fault = await readContent(${JSON.stringify(path)}).catch((error) => error);
      console.log(JSON.stringify([fault.code, fault.message]));
    `);
    assert.equal(code, 'FILE_UNREADABLE');
    assert.equal(message, `${path} cannot be read (EACCES)`);
  });

  test('says so of links that go round in a circle', async (t) => {
    const path = join(await temporaryDirectory(t), 'loop');
    await symlink('loop', path);
    await assert.rejects(readContent(path), fault('FILE_UNREADABLE', path));
  });

  test('leaves no descriptor open, whatever comes of it', async (t) => {
    const directory = await temporaryDirectory(t);
    await writeFile(join(directory, 'file'), 'x');
    await writeFile(join(directory, 'large'), Buffer.alloc(fileSizeLimit + 1));
    const descriptors = async () => (await readdir('/proc/self/fd')).length;
    const before = await descriptors();
    for (let i = 0; i < 20; i += 1) {
      for (const name of ['file', 'large', 'nothing', '.']) await readContent(join(directory, name)).catch(() => null);
    }
    assert.equal(await descriptors(), before);
  });
});
