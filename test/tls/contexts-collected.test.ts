import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { bounded } from '../support/swivel.ts';

test('after a thousand commits only the current context is alive', bounded, async () => {
  const script = fileURLToPath(new URL('support/collected.ts', import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', script]);
  assert.equal(stdout, '1');
});
