import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { stripTypeScriptTypes } from 'node:module';
import { delimiter, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { catalogue } from '../../src/errors.ts';
import { temporaryDirectory } from '../support/files.ts';

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const { remedy } = catalogue.NODE_TOO_OLD;

function run(node: string, args: readonly string[]) {
  return spawnSync(node, args, { encoding: 'utf8', timeout: 20_000 });
}

/** Runs the program on a Node.js that says that it is of another version. */
function runAs(version: string) {
  const pretend = `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '${version}' } })`;
  return run(process.execPath, ['--import', `data:text/javascript,${encodeURIComponent(pretend)}`, main, '--version']);
}

test('a Node.js that serves the wrong certificate to some clients is refused', () => {
  for (const version of ['20.20.2', '22.30.0', '24.19.9', '25.99.0', '26.6.9']) {
    const { status, stdout, stderr } = runAs(version);
    assert.deepEqual([status, stdout], [2, ''], version);
    assert.match(stderr, /^swivel: NODE_TOO_OLD: .+\n$/);
    assert.ok(stderr.endsWith(`; ${remedy}\n`));
  }
  for (const version of ['24.20.0', '24.99.1', '26.7.0', '27.0.0', '30.1.0']) {
    const { status, stderr } = runAs(version);
    assert.deepEqual([status, stderr], [0, ''], version);
  }
});

test('an old Node.js can read the check', async (t) => {
  const nodes = (process.env['PATH'] ?? '').split(delimiter).map((directory) => join(directory, 'node'));
  const old = nodes.find((node) => /^v(1[89]|2[0-3])\./.test(run(node, ['--version']).stdout ?? ''));
  if (old === undefined) return t.skip('there is no older Node.js on this machine');
  const built = join(await temporaryDirectory(t), 'main.mjs');
  await writeFile(built, stripTypeScriptTypes(readFileSync(main, 'utf8')));
  const { status, stdout, stderr } = run(old, [built, 'serve']);
  assert.deepEqual([status, stdout], [2, '']);
  assert.match(stderr, /^swivel: NODE_TOO_OLD: .+\n$/);
});
