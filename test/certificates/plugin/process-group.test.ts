import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { temporaryDirectory, writeAtomically } from '../../support/files.ts';

const group = fileURLToPath(new URL('../../../src/certificates/plugin/process-group.ts', import.meta.url));

for (const [what, command, statements] of [
  ['ends with the process that made it', 'sleep 600.75', `process.stdin.once('data', () => process.exit());`],
  [
    'ends with the process that made it, though that throws',
    'sleep 600.75',
    `process.stdin.once('data', () => { throw new Error(); });`,
  ],
  ['ends with its leader', 'sleep 600.75 & read line', `process.stdin.once('data', () => leader.stdin.write('\\n'));`],
  ['ends when it is told to', 'sleep 600.75 & wait', `process.stdin.once('data', () => group.end());`],
] as const) {
  test(`a process group ${what}`, { timeout: 20_000 }, async (t) => {
    const script = join(await temporaryDirectory(t), 'script.mjs');
    await writeAtomically(
      script,
      `import { spawn } from 'node:child_process';
       import { ProcessGroup } from ${JSON.stringify(group)};
       const stdio = ['pipe', 'inherit', 'ignore'];
       const leader = spawn('sh', ['-c', ${JSON.stringify(`echo ready; ${command}`)}], { stdio, detached: true });
       const group = new ProcessGroup(leader);
       leader.once('exit', () => process.stdin.destroy());
       ${statements}`,
    );
    const host = spawn(process.execPath, [script], { stdio: ['pipe', 'pipe', 'ignore'] });
    t.after(() => host.kill('SIGKILL'));
    // The whole group holds standard output open.
    const closed = once(host.stdout, 'close');
    const [ready] = await once(host.stdout, 'data');
    assert.equal(String(ready), 'ready\n');
    host.stdin.write('\n');
    await closed;
  });
}
