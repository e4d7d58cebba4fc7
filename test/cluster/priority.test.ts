import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { getPriority } from 'node:os';
import { test } from 'node:test';

const room = new URL('../../src/cluster/index.ts', import.meta.url);

/** What a process of its own prints, after it ran some lines. */
function printed(lines: string): unknown {
  const program = `
    const { getPriority } = await import('node:os');
    const { readdirSync } = await import('node:fs');
    const { goFirst, setNiceness } = await import(${JSON.stringify(room)});
    const all = () => [...new Set(readdirSync('/proc/self/task').map((thread) => getPriority(Number(thread))))];
    ${lines}`;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', program]);
  assert.equal(stderr.toString(), '');
  return JSON.parse(stdout.toString());
}

const mayGoFirst = process.getuid?.() === 0 && getPriority() === 0;
const skip = mayGoFirst ? false : 'needs root, and a usual niceness';

test('a primary goes before others with all its threads, and its workers do not', { skip }, () => {
  assert.deepEqual(
    printed(
      'const n = goFirst(); const first = all(); setNiceness(n); console.log(JSON.stringify([n, first, all()]));',
    ),
    [0, [-5], [0]],
  );
});

test('called again, it still knows what others are to have', { skip }, () => {
  assert.deepEqual(printed('console.log(JSON.stringify([goFirst(), goFirst(), all()]));'), [0, 0, [-5]]);
});

test('a niceness that was given stays', () => {
  assert.deepEqual(printed('setNiceness(7); console.log(JSON.stringify([goFirst(), all()]));'), [7, [7]]);
});
