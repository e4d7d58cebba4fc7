import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { PluginSource } from '../../../src/certificates/index.ts';
import { temporaryDirectory, writeAtomically } from '../../support/files.ts';
import { answering, loading, moduleOf, processesOf } from './support/plugins.ts';

const linux = process.platform === 'linux' ? {} : { skip: 'needs /proc' };
const good = answering(`{ identities: [{ id: 'a', certificatePem: 'certificate', keyPem: 'key' }] }`);

async function listening(t: TestContext): Promise<{ server: Server; port: number }> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const address = server.address();
  assert.ok(address && typeof address === 'object');
  return { server, port: address.port };
}

/** The body of a module that connects to a port, and then runs statements. The connection closes when its process is no more. */
function connected(port: number, statements: string): string {
  return `import { connect } from 'node:net';
    const socket = connect(${port}, '127.0.0.1');
    await new Promise((resolve) => socket.once('connect', resolve));
    ${statements}`;
}

/** A process that loads a plug-in, and then runs statements. */
async function hostOf(t: TestContext, module: string, statements: string): Promise<ChildProcess> {
  const script = join(await temporaryDirectory(t), 'host.mjs');
  const index = fileURLToPath(new URL('../../../src/certificates/index.ts', import.meta.url));
  await writeAtomically(
    script,
    `import { PluginSource } from ${JSON.stringify(index)};
     const source = new PluginSource({ module: ${JSON.stringify(module)}, timeout: 600_000 });
     ${statements}`,
  );
  const host = spawn(process.execPath, [script], { stdio: ['pipe', 'pipe', 'inherit'] });
  t.after(() => host.kill('SIGKILL'));
  return host;
}

test('no secret is in the arguments or the environment of the process', linux, async (t) => {
  const source = new PluginSource({
    module: await moduleOf(t, answering(`{ identities: [{ id: 'a', certificatePem: 'c', keyPem: options.key }] }`)),
    options: { key: 'the-secret-key' },
  });
  t.after(() => source.close());
  assert.equal((await source.load()).identities[0]?.keyPem.reveal(), 'the-secret-key');
  const [pid] = processesOf('source.mjs');
  assert.ok(pid);
  for (const name of ['cmdline', 'environ']) {
    const text = readFileSync(`/proc/${pid}/${name}`, 'latin1');
    assert.doesNotMatch(text, /secret/);
    assert.doesNotMatch(text, new RegExp(Buffer.from('the-secret-key').toString('base64').slice(0, 12)));
  }
});

test('the process has no descriptor of its host, and is the first to go where memory runs out', linux, async (t) => {
  const { server } = await listening(t);
  const source = new PluginSource({ module: await moduleOf(t, good) });
  t.after(() => source.close());
  await source.load();
  const [pid] = processesOf('source.mjs');
  assert.ok(pid);
  const open = (id: number | 'self') =>
    readdirSync(`/proc/${id}/fd`).flatMap((name) => {
      try {
        return [readlinkSync(`/proc/${id}/fd/${name}`)];
      } catch {
        return [];
      }
    });
  assert.ok(server.listening);
  const sockets = (id: number | 'self') => open(id).filter((target) => target.startsWith('socket:'));
  assert.ok(sockets('self').length > 0);
  assert.deepEqual(
    sockets(pid).filter((one) => sockets('self').includes(one)),
    [],
  );
  assert.equal(readFileSync(`/proc/${pid}/oom_score_adj`, 'utf8').trim(), '1000');
});

for (const [what, text] of [
  ['is idle', good],
  ['loops for ever at import', 'while (true);'],
  ['loops for ever in load', loading('while (true);')],
  [
    'waits for a program',
    `import { execFileSync } from 'node:child_process';\n${loading("execFileSync('sleep', ['600.5']);")}`,
  ],
] as const) {
  for (const [how, statements] of [
    ['is killed', ''],
    ['exits', `process.stdin.once('data', () => process.exit());`],
  ] as const) {
    test(`a plug-in that ${what} ends when its host ${how}`, { timeout: 30_000 }, async (t) => {
      const { server, port } = await listening(t);
      const module = await moduleOf(t, connected(port, text));
      const connection = once(server, 'connection') as Promise<[Socket]>;
      const host = await hostOf(t, module, `${statements} process.stdin.resume(); void source.load();`);
      const [socket] = await connection;
      const closed = once(socket.on('error', () => {}).resume(), 'close');
      if (statements === '') host.kill('SIGKILL');
      else host.stdin?.write('exit\n');
      await closed;
    });
  }
}

test('signals that go to a whole service do not end it', linux, async (t) => {
  const source = new PluginSource({ module: await moduleOf(t, good) });
  t.after(() => source.close());
  await source.load();
  const [pid] = processesOf('source.mjs');
  assert.ok(pid);
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.kill(pid, signal);
  await source.load();
  assert.deepEqual(processesOf('source.mjs'), [pid]);
});

test('where no process can be started there is a finding, and no more once there can', async (t) => {
  const source = new PluginSource({ module: await moduleOf(t, good) });
  t.after(() => source.close());
  const node = process.execPath;
  process.execPath = '/missing/node';
  try {
    const { findings } = await source.load();
    assert.match(findings[0]?.message ?? '', /no process can be started for it: spawn \/missing\/node ENOENT$/);
  } finally {
    process.execPath = node;
  }
  assert.deepEqual((await source.load()).findings, []);
});

test('where descriptors are used up there is a finding, and no more once there are some', linux, async (t) => {
  const host = await hostOf(
    t,
    await moduleOf(t, good),
    `import { closeSync, openSync } from 'node:fs';
     const report = async () => console.log(JSON.stringify((await source.load()).findings.map(({ message }) => message)));
     const open = [];
     await import('node:child_process');
     try { while (open.length < 5e4) open.push(openSync('/dev/null')); } catch {}
     await report();
     for (const one of open) closeSync(one);
     await report();
     source.close();`,
  );
  assert.ok(host.stdout);
  const lines: string[] = [];
  for await (const line of createInterface(host.stdout)) lines.push(line);
  assert.equal(lines.length, 2);
  assert.match(lines[0] ?? '', /no process can be started for it: .*EMFILE/);
  assert.equal(lines[1], '[]');
});

test('what it writes past JavaScript goes to the log, without keys', async (t) => {
  const lines: string[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  const source = new PluginSource({
    module: await moduleOf(
      t,
      `import { execFileSync } from 'node:child_process';
       import { writeSync } from 'node:fs';
       writeSync(1, 'direct\\n-----BEGIN PRIVATE KEY-----\\nc2VjcmV0\\n-----END PRIVATE KEY-----\\n');
       execFileSync('echo', ['of a program'], { stdio: 'inherit' });
       ${good}`,
    ),
    log: (line) => {
      lines.push(line);
      if (line === 'of a program') resolve();
    },
  });
  t.after(() => source.close());
  assert.deepEqual((await source.load()).findings, []);
  await promise;
  assert.deepEqual(lines, ['direct', '[PEM]', 'of a program']);
});
