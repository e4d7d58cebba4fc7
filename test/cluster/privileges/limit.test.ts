import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { realpath, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { excessOf, isBetter, neededOf } from '../../../src/cluster/privileges/capabilities.ts';
import { parseCredentials } from '../../../src/cluster/privileges/credentials.ts';
import { answerOf, needsRoot, run, scriptOf } from './support/probe.ts';

const skip = needsRoot;
const setpriv = '/usr/bin/setpriv';
/** KILL, SETGID, SETUID, NET_BIND_SERVICE. */
const base = 0x4e0n;
const reads = 1n << 2n;
const overrides = 1n << 1n;

interface Answer {
  readonly started: number;
  readonly pid: number;
  readonly args: string[];
  readonly execArgv: string[];
  readonly cwd: string;
  readonly environment: string[];
  readonly stdin: string;
  readonly finding: { readonly code: string; readonly message: string } | null;
  readonly caps: string[];
  readonly noNew: boolean;
}

/** Writes one line for each time it was started. */
const script = `
  console.log('started');
  const finding = privileges.limitCapabilities(JSON.parse(process.argv[2]));
  const status = readFileSync('/proc/self/status', 'utf8');
  const caps = ['Inh', 'Prm', 'Eff', 'Bnd', 'Amb'].map((set) => new RegExp('^Cap' + set + ':\\\\s+(\\\\w+)', 'm').exec(status)[1]);
  console.log(JSON.stringify({
    pid: process.pid, args: process.argv.slice(3), execArgv: process.execArgv, cwd: process.cwd(), finding, caps,
    environment: Object.keys(process.env), stdin: readFileSync(0, 'utf8'), noNew: /^NoNewPrivs:\\s+1$/m.test(status),
  }));
  process.exitCode = 7;
`;

function answer(ended: ReturnType<typeof run>): Answer {
  return { ...answerOf<Answer>(ended), started: ended.stdout.match(/^started$/gm)?.length ?? 0 };
}

function sets({ caps }: Answer): Record<'inh' | 'prm' | 'eff' | 'bnd' | 'amb', bigint> {
  const [inh = 0n, prm = 0n, eff = 0n, bnd = 0n, amb = 0n] = caps.map((text) => BigInt(`0x${text}`));
  return { inh, prm, eff, bnd, amb };
}

test('root keeps what a primary needs, for good, and is the same process as before', { skip }, async (t) => {
  const path = await scriptOf(t, script);
  const cwd = await realpath(dirname(path));
  const flags = ['--stack-size=900', '--no-warnings'];
  const options = JSON.stringify({ writes: false });
  const child = spawn(process.execPath, [...flags, path, options, 'an argument', '--', '-x', ''], {
    cwd,
    env: { PATH: process.env['PATH'], A: 'b c\nd' },
  });
  t.after(() => child.kill('SIGKILL'));
  child.stdin.end('input');
  const [stdout, stderr] = await Promise.all([child.stdout.toArray(), child.stderr.toArray(), once(child, 'exit')]);
  const ended = { stdout: stdout.join(''), stderr: stderr.join(''), status: child.exitCode } as ReturnType<typeof run>;
  assert.equal(ended.stderr, '');
  assert.equal(child.exitCode, 7);
  const got = answer(ended);
  assert.equal(got.started, 2);
  assert.equal(got.pid, child.pid);
  assert.deepEqual(got.args, ['an argument', '--', '-x', '']);
  assert.deepEqual(got.execArgv, flags);
  assert.equal(got.cwd, cwd);
  assert.equal(got.stdin, 'input');
  assert.equal(got.finding, null);
  assert.equal(got.noNew, true);
  assert.deepEqual(got.environment.sort(), ['A', 'PATH']);
  const wanted = base | reads;
  assert.deepEqual(sets(got), { inh: 0n, prm: wanted, eff: wanted, bnd: wanted, amb: 0n });
});

test('what a container has is limited too, and keys of other users stay readable', { skip }, async (t) => {
  const path = await scriptOf(t, script);
  const docker =
    '-all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,+net_bind_service,+net_raw,+sys_chroot,+mknod,+audit_write,+setfcap';
  const start = (bounding: string, writes: boolean) =>
    answer(run(setpriv, [`--bounding-set=${bounding}`, '--', process.execPath, path, JSON.stringify({ writes })]));
  const usual = start(docker, false);
  assert.deepEqual([usual.started, usual.finding, sets(usual).eff], [2, null, base | overrides]);
  const writing = start('+all', true);
  assert.deepEqual([writing.started, writing.finding, sets(writing).eff], [2, null, base | overrides | reads]);
});

test('a process that has no more than it needs is not started again', { skip }, async (t) => {
  const path = await scriptOf(t, script);
  const bounding = '--bounding-set=-all,+kill,+setgid,+setuid,+net_bind_service,+dac_read_search';
  const command = [bounding, '--no-new-privs', '--', process.execPath, path, JSON.stringify({ writes: false })];
  const { started, finding } = answer(run(setpriv, command));
  assert.deepEqual([started, finding], [1, null]);
  const user = ['--reuid=65534', '--regid=65534', '--clear-groups', '--', process.execPath, path, '{}'];
  const other = answer(run(setpriv, user));
  assert.deepEqual([other.started, other.finding], [1, null]);
});

test('where capabilities cannot be taken away the process goes on, with a warning', { skip }, async (t) => {
  const path = await scriptOf(t, script);
  const options = (value: object) => JSON.stringify({ writes: false, ...value });
  for (const program of ['/nonexistent/setpriv', '/bin/false', '/bin/true']) {
    const ended = answer(run(process.execPath, [path, options({ setpriv: program })]));
    assert.deepEqual([ended.started, ended.finding?.code, ended.noNew], [1, 'CAPABILITIES_KEPT', false], program);
  }
  // Without SETPCAP only the gain of more can be stopped.
  const poor = answer(run(setpriv, ['--bounding-set=-setpcap', '--', process.execPath, path, options({})]));
  assert.deepEqual([poor.started, poor.finding?.code, poor.noNew], [2, 'CAPABILITIES_KEPT', true]);
});

test('a program that takes nothing away in earnest is run once only', { skip }, async (t) => {
  const path = await scriptOf(t, script);
  // Limits what is tried out, and not what is started.
  const liar = join(dirname(path), 'setpriv');
  const lines = [
    '#!/bin/sh',
    'for last; do :; done',
    'if [ "$last" = /proc/self/status ]; then exec setpriv "$@"; fi',
    'while [ "$1" != -- ]; do shift; done',
    'shift; exec "$@"',
  ];
  await writeFile(liar, lines.join('\n'), { mode: 0o755 });
  const ended = answer(run(process.execPath, [path, JSON.stringify({ writes: false, setpriv: liar })]));
  assert.deepEqual([ended.started, ended.finding?.code], [2, 'CAPABILITIES_KEPT']);
  assert.equal(ended.environment.includes('SWIVEL_LIMITED'), false);
});

test('a process with a channel to its parent keeps the channel', { skip }, async (t) => {
  const path = await scriptOf(
    t,
    `const finding = privileges.limitCapabilities({ writes: false });
     process.send(finding, () => process.disconnect());`,
  );
  const child = spawn(process.execPath, [path], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  t.after(() => child.kill('SIGKILL'));
  const [finding] = (await once(child, 'message', { signal: AbortSignal.timeout(20_000) })) as [
    { code: string; message: string },
  ];
  assert.equal(finding.code, 'CAPABILITIES_KEPT');
  assert.match(finding.message, /channel/);
});

test('what is needed is never more than there is, and a state is better only when nothing needed is lost', () => {
  const state = (bounding: bigint, permitted = bounding, noNew = 0, inheritable = 0n) =>
    parseCredentials(
      [
        `CapInh:\t${inheritable.toString(16)}`,
        `CapPrm:\t${permitted.toString(16)}`,
        `CapBnd:\t${bounding.toString(16)}`,
        `NoNewPrivs:\t${noNew}`,
      ].join('\n'),
    );
  const all = state(0x1ffffffffffn);
  const needed = neededOf(all, false);
  assert.deepEqual([...needed].sort(), ['dac_read_search', 'kill', 'net_bind_service', 'setgid', 'setuid']);
  assert.deepEqual(neededOf(state(1n << 1n), false), ['dac_override']);
  assert.deepEqual(neededOf(state(0n), true), []);
  assert.equal(excessOf(state(base | reads), needed), 0n);
  assert.equal(excessOf(state(base | reads, base | reads, 0, 1n), needed), 1n);
  assert.ok(isBetter(all, state(base | reads, base | reads, 1), needed));
  assert.ok(isBetter(all, state(0x1ffffffffffn, 0x1ffffffffffn, 1), needed));
  assert.ok(!isBetter(all, all, needed));
  assert.ok(!isBetter(all, state(base), needed));
  assert.ok(!isBetter(state(base), state(base | 1n, base | 1n, 1), needed));
});
