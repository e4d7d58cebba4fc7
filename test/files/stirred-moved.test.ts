import assert from 'node:assert/strict';
import { mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { SnapshotReader } from '../../src/files/snapshot.ts';
import { temporaryDirectory } from '../support/files.ts';

test('a directory that is reached through a link is read as a whole when the link leads elsewhere, whatever was heard', async (t) => {
  const root = await realpath(await temporaryDirectory(t));
  const path = join(root, 'live');
  // So many that only those are looked at of which something was heard.
  const names = Array.from({ length: 200 }, (_, i) => `${i}.crt`);
  for (const version of ['old', 'new']) {
    mkdirSync(join(root, version));
    for (const name of names) writeFileSync(join(root, version, name), version);
  }
  symlinkSync('old', path);
  const reader = new SnapshotReader();
  await reader.read({ path, wanted: () => true, thorough: true });
  symlinkSync('new', join(root, 'next'));
  renameSync(join(root, 'next'), path);
  const { files } = await reader.read({ path, wanted: () => true, thorough: false, stirred: [join(path, '7.crt')] });
  assert.deepEqual(new Set([...files.values()].map(({ bytes }) => bytes.toString())), new Set(['new']));
});
