import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { answerOf, run, scriptOf } from './support/probe.ts';

interface Answer {
  readonly before: string;
  readonly finding: { readonly code: string; readonly severity: string; readonly message: string } | null;
  readonly after: string;
  readonly child: string;
}

const script = `
  import { spawnSync } from 'node:child_process';
  const limit = (text) => /Max core file size\\s+(\\S+)/.exec(text)[1];
  const own = () => limit(readFileSync('/proc/self/limits', 'utf8'));
  const before = own();
  const finding = privileges.disableCoreDumps(...process.argv.slice(2));
  const after = own();
  const child = limit(spawnSync('cat', ['/proc/self/limits'], { encoding: 'utf8' }).stdout);
  console.log(JSON.stringify({ before, finding, after, child }));
  process.chdir(import.meta.dirname);
  if (process.env.CRASH) process.abort();
`;

const limited = (limit: string) => ['-c', `ulimit -c ${limit}; exec "$0" "$@"`, process.execPath];
const linux = process.platform !== 'linux' && 'prlimit is of Linux';

test('core dumps are off for the process and its children, whatever they were', { skip: linux }, async (t) => {
  const path = await scriptOf(t, script);
  const ended = run('sh', [...limited('unlimited'), path], { CRASH: '1' });
  assert.equal(ended.signal, 'SIGABRT');
  // A limit of 1, not 0: only that holds back a dump that is piped to a program.
  assert.deepEqual(answerOf<Answer>(ended), { before: 'unlimited', finding: null, after: '1', child: '1' });
  assert.deepEqual(await readdir(dirname(path)), ['script.mjs']);
});

test('core dumps that are off already stay off', { skip: linux }, async (t) => {
  const path = await scriptOf(t, script);
  const { before, finding, after } = answerOf<Answer>(run('sh', [...limited('0'), path]));
  assert.deepEqual([before, finding], ['0', null]);
  assert.ok(['0', '1'].includes(after));
});

test('core dumps that cannot be switched off are a warning', { skip: linux }, async (t) => {
  const path = await scriptOf(t, script);
  for (const [prlimit, reason] of [
    ['/nonexistent/prlimit', /ENOENT/],
    ['/bin/false', /ended with 1, the limit is Infinity/],
  ] as const) {
    const { finding, after } = answerOf<Answer>(run('sh', [...limited('unlimited'), path, prlimit]));
    assert.deepEqual([finding?.code, finding?.severity, after], ['CORE_DUMPS_ON', 'warning', 'unlimited']);
    assert.match(finding?.message ?? '', reason);
  }
});
