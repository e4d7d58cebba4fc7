import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, realpath, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import { findFileMounts, parseMountPoints } from '../../src/files/mounts.ts';
import { temporaryDirectory } from '../support/files.ts';
import { cannotUnshare } from './support/namespaces.ts';
import { moduleOf } from './support/unprivileged.ts';

describe('files that are mounted by themselves', () => {
  test('are read from the mount table, with white space in their names', () => {
    const table = [
      '22 1 0:20 / / rw,relatime - ext4 /dev/sda1 rw',
      '36 22 8:1 /srv/tls.crt /certs/tls.crt rw - ext4 /dev/sda1 rw',
      '37 22 8:1 /x /with\\040space\\011tab\\134slash rw shared:1 - ext4 /dev/sda1 rw',
      '',
    ].join('\n');
    assert.deepEqual(parseMountPoints(table), ['/', '/certs/tls.crt', '/with space\ttab\\slash']);
    assert.deepEqual(parseMountPoints(''), []);
  });

  test('are none in a plain directory', async (t) => {
    const root = await temporaryDirectory(t);
    await writeFile(join(root, 'tls.crt'), '');
    assert.deepEqual(await findFileMounts([root]), []);
  });

  test('are found below a source and at it, and directories that are mounted are none', {
    skip: cannotUnshare('-rm'),
  }, async (t) => {
    const root = await realpath(await temporaryDirectory(t));
    for (const name of ['from', 'certs', 'certs/sub', 'certs-too']) await mkdir(join(root, name));
    for (const name of ['from/a', 'certs/a b.crt', 'certs/plain.crt', 'certs-too/b.crt'])
      await writeFile(join(root, name), '');
    const at = (name: string) => JSON.stringify(join(root, name));
    const script = `
      import { findFileMounts } from ${moduleOf('files/mounts.ts')};
      console.log(JSON.stringify([await findFileMounts([${at('certs')}]), await findFileMounts([${at('certs-too/b.crt')}])]));
    `;
    const { stdout } = await promisify(execFile)('unshare', [
      '-rm',
      'sh',
      '-ec',
      `mount --bind ${at('from/a')} ${at('certs/a b.crt')}
       mount --bind ${at('from/a')} ${at('certs-too/b.crt')}
       mount --bind ${at('from')} ${at('certs/sub')}
       exec "$0" --eval "$1"`,
      process.execPath,
      script,
    ]);
    assert.deepEqual(JSON.parse(stdout), [[join(root, 'certs/a b.crt')], [join(root, 'certs-too/b.crt')]]);
  });
});
