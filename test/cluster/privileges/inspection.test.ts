import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { WebSocket } from 'ws';
import { withoutInspection } from '../../../src/cluster/privileges/index.ts';
import { splitNodeOptions } from '../../../src/cluster/privileges/node-flags.ts';
import { answerOf, run, scriptOf } from './support/probe.ts';

test('flags that let others look into a process are taken out, and nothing else', () => {
  const options = (text: string) => withoutInspection({ NODE_OPTIONS: text }, []).env['NODE_OPTIONS'];
  const cases: [string, string][] = [
    ['--inspect', ''],
    ['--inspect=127.0.0.1:0 --max-old-space-size=100', '--max-old-space-size=100'],
    ['--require "./my file.js" --inspect-brk', '--require "./my file.js"'],
    ['--require "a \\"b\\\\ --inspect" --inspect-wait=1', '--require "a \\"b\\\\ --inspect"'],
    ['"--inspect=localhost:1" --no-warnings', '--no-warnings'],
    ['--ins"pect" --no-warnings', '--no-warnings'],
    ['--inspect_brk=0   --heapsnapshot-signal SIGUSR2 --title=x', '--title=x'],
    ['--inspect-port 9000 --debug-port=1 --title x', '--title x'],
    [
      '--heap-prof --heap-prof-dir "a b" --report-on-signal --report-signal=SIGUSR2 --enable-source-maps',
      '--enable-source-maps',
    ],
    ['--abort-on-uncaught-exception --abort_on_uncaught_exception --tls-keylog=/tmp/k --report-on-fatalerror', ''],
    ['--heapsnapshot-near-heap-limit=3 --report-uncaught-exception --cpu-prof', '--cpu-prof'],
  ];
  for (const [text, kept] of cases) assert.equal(options(text), kept, text);

  const both = withoutInspection({ NODE_OPTIONS: '--inspect=127.0.0.1:1', A: 'b' }, [
    '--inspect-port',
    '0',
    '--expose-gc',
    '--inspect',
  ]);
  assert.deepEqual(both.env, { NODE_OPTIONS: '', A: 'b' });
  assert.deepEqual(both.execArgv, ['--expose-gc', '--disable-sigusr1']);
  assert.deepEqual([both.refused?.code, both.refused?.severity], ['INSPECTION_REFUSED', 'warning']);
  assert.match(both.refused?.message ?? '', /: --inspect, --inspect-port$/);
});

test('environment and flags without such flags are passed on as they are', () => {
  for (const env of [{}, { NODE_OPTIONS: ' --title="a  b" ', A: 'b' }, { NODE_OPTIONS: '--inspect "unended' }]) {
    const { refused, ...rest } = withoutInspection(env, ['--disable-sigusr1', '--expose-gc']);
    assert.deepEqual(rest, { env, execArgv: ['--expose-gc', '--disable-sigusr1'] });
    assert.equal(refused, null);
  }
});

test('NODE_OPTIONS is read as Node.js reads it', () => {
  const say = 'console.log(JSON.stringify(process.title))';
  for (const text of [' --no-warnings  --title=\\a', '"--title=a b"', '--title="a \\"b\\" \\\\c"d --no-warnings']) {
    const title = answerOf<string>(run(process.execPath, ['--eval', say], { NODE_OPTIONS: text }));
    const read = splitNodeOptions(text)?.map((argument) => argument.read);
    assert.ok(read?.includes(`--title=${title}`), text);
    assert.equal(read?.length, text.includes('--no-warnings') ? 2 : 1, text);
  }
  for (const nothing of ['', '  ', '""']) assert.deepEqual(splitNodeOptions(nothing), []);
  for (const refused of ['"--title=a\\', '"--title=a']) assert.equal(splitNodeOptions(refused), null);
});

/** Starts a script that says what it found, then waits for its stdin to end. */
function start(t: TestContext, args: readonly string[], env: NodeJS.ProcessEnv = {}): ChildProcess {
  const child = spawn(process.execPath, args, {
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  t.after(() => child.kill('SIGKILL'));
  return child;
}

async function lineOf(child: ChildProcess): Promise<{ code?: string; message?: string } | null> {
  const [line] = (await once(child.stdout as NodeJS.ReadableStream, 'data')) as [Buffer];
  return JSON.parse(String(line)) as { code?: string; message?: string } | null;
}

const asked = `
  const say = (value) => console.log(JSON.stringify(value));
  process.stdin.on('data', (name) => say(privileges[String(name)]())).on('end', () => process.exit(0));
`;

test('an open inspector is closed, with those who are connected, and its address is not told', async (t) => {
  const script = await scriptOf(t, `${asked} say(null);`);
  const child = start(t, ['--inspect=127.0.0.1:0', script]);
  let stderr = '';
  child.stderr?.on('data', (text: Buffer) => {
    stderr += text;
  });
  await lineOf(child);
  const url = /ws:\S+/.exec(stderr)?.[0] as string;
  const socket = new WebSocket(url);
  await once(socket, 'open');
  const closed = once(socket, 'close');
  const ask = async (name: string) => {
    const answer = lineOf(child);
    child.stdin?.write(name);
    return answer;
  };
  const found = await ask('findInspector');
  assert.equal(found?.code, 'INSPECTOR_OPEN');
  assert.match(found?.message ?? '', new RegExp(`listens on ${new URL(url).host}:`));
  const refused = await ask('refuseInspector');
  assert.match(refused?.message ?? '', /; it was closed$/);
  assert.ok(!refused?.message?.includes(new URL(url).pathname.slice(1)));
  await closed;
  assert.equal(await ask('findInspector'), null);
  child.kill('SIGUSR1');
  assert.equal(await ask('refuseInspector'), null);
  assert.equal(await ask('findInspector'), null);
  const exit = once(child, 'exit');
  child.stdin?.end();
  assert.deepEqual(await exit, [0, null]);
});

test('SIGUSR1 neither opens the inspector nor ends the process', async (t) => {
  const text = `${asked}
    await Promise.resolve(privileges.refuseInspector?.());
    process.kill(process.pid, 'SIGUSR1');
    process.once('SIGUSR1', () => {});
    say(null);`;
  const script = await scriptOf(t, text);
  for (const flags of [[], ['--disable-sigusr1']]) {
    const child = start(t, [...flags, script]);
    let stderr = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      stderr += chunk;
    });
    await lineOf(child);
    const exit = once(child, 'exit');
    child.stdin?.end();
    assert.deepEqual(await exit, [0, null]);
    assert.equal(stderr, '');
  }
});

test('a process that is started without inspection flags opens no inspector', async (t) => {
  const script = await scriptOf(t, `console.log(JSON.stringify(privileges.findInspector()));`);
  const { env, execArgv } = withoutInspection({ NODE_OPTIONS: '--no-warnings --inspect=127.0.0.1:0' }, [
    '--inspect=127.0.0.1:0',
  ]);
  const ended = run(process.execPath, [...execArgv, script], env);
  assert.deepEqual([answerOf(ended), ended.stderr], [null, '']);
});
