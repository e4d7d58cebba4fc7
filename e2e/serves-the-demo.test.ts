import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { temporaryDirectory } from '../test/support/files.ts';
import { canDo } from './support/machine.ts';
import { bounded, SwivelProcess } from './support/swivel.ts';
import { until } from './support/until.ts';

const root = fileURLToPath(new URL('../', import.meta.url));
const run = promisify(execFile);

interface Shown {
  readonly certificate: string;
  readonly method: string;
  readonly headers: Record<string, string>;
}

test('npm start serves a demo whose printed lines work as printed', bounded, async (t) => {
  if (!canDo(t, 'curl', ['curl', '--version'])) return;
  // What is written goes here, not into the checkout.
  const cwd = await temporaryDirectory(t);
  for (const name of ['package.json', 'src', 'config', 'node_modules'])
    await symlink(join(root, name), join(cwd, name));
  const flags = ['--listen', '0', '--admin', '127.0.0.1:0', '--log-format', 'json'];
  const swivel = new SwivelProcess(['serve', '--config', 'config/demo.yaml', ...flags], { cwd });
  t.after(() => swivel.stop());
  await swivel.line(({ event }) => event === 'listening');
  const printed = async (start: string) =>
    until(`a line that begins with ${start}`, () =>
      swivel.stderr
        .split('\n')
        .map((line) => line.trim())
        .find((line) => line.startsWith(start)),
    );
  const inShell = async (line: string) => (await run('bash', ['-c', line], { cwd })).stdout;

  const curl = await printed('curl ');
  const ask = async () => JSON.parse(await inShell(`${curl} --silent --show-error`)) as Shown;
  const before = await ask();
  assert.equal(before.method, 'GET');
  assert.match(before.certificate, /^tls [0-9a-f]{64}$/);
  assert.equal(before.headers['x-swivel-certificate'], before.certificate);
  assert.equal(before.headers['x-forwarded-proto'], 'https');

  const rotated = swivel.follow();
  await inShell(await printed('npm run swivel -- dev-cert'));
  const line = await rotated(({ event }) => event === 'rotation');
  const after = await ask();
  assert.equal(after.certificate, `tls ${line['to']}`);
  assert.notEqual(after.certificate, before.certificate);

  const status = await inShell(await printed('npm run swivel -- status'));
  assert.match(status, new RegExp(`^tls +serving +yes +${String(line['to']).slice(0, 16)}`, 'm'));
  assert.equal((await swivel.stop()).code, 0);
});
