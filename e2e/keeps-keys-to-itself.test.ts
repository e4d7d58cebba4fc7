import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdir, readdir, readFile, readlink, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { connect } from 'node:tls';
import { Secret } from '../src/certificates/index.ts';
import { parseTicketKeys } from '../src/certificates/sources/ticket-key-format.ts';
import { deriveTicketKeys, ticketKeyId } from '../src/rotation/ticket-keys.ts';
import { temporaryDirectory, writeAtomically, writePair } from '../test/support/files.ts';
import { createAuthority } from '../test/support/pki.ts';
import { fingerprintOn, openHttp1, shownTo } from './support/clients.ts';
import { startHeldUpstream } from './support/held-upstream.ts';
import { HiddenSecrets } from './support/hidden-secrets.ts';
import { gone, listeningOn, statusOfThreads } from './support/process-facts.ts';
import { bounded, type RunningSwivel, runSwivel, type StartOptions, startSwivel } from './support/swivel.ts';
import { until } from './support/until.ts';
import { accessLog, visitEach } from './support/who-answered.ts';
import { descriptorsOf, settled, statusOf } from './support/workers.ts';

const host = 'app.test';
/** Nobody of the passwd and group files. */
const [uid, gid] = [61_234, 61_235];
const token = 'tok-5f2b7c1e9ab34d';
const passphrase = 'correct-horse-battery';
const two = ['--workers', '2'];

/** Whether this is root, who alone can become somebody else. */
function isRoot(t: Pick<TestContext, 'skip'>): boolean {
  if (process.getuid?.() === 0) return true;
  if (process.env['CI'] === 'true') throw new Error('these tests have to run as root');
  t.skip('not root');
  return false;
}

/** Certificates that only their owner can read, and a Swivel that serves them. */
async function prepare(t: TestContext, options: StartOptions = {}) {
  const authority = await createAuthority();
  const base = await temporaryDirectory(t);
  const certs = join(base, 'certs');
  const work = join(base, 'work');
  for (const path of [certs, work]) await mkdir(path);
  // Only the files themselves are to keep anybody out.
  for (const path of [base, certs]) await chmod(path, 0o755);
  await chmod(work, 0o777);
  const first = await authority.issue({ names: [host] });
  await writePair(certs, 'app', first);
  const encrypted = await authority.issue({ names: ['encrypted.test'] });
  await writeAtomically(join(certs, 'encrypted.pass'), passphrase);
  await writeAtomically(join(certs, 'encrypted.key'), encrypted.encryptedKeyPem(passphrase));
  await writeAtomically(join(certs, 'encrypted.crt'), encrypted.chainPem);
  const tokenFile = join(base, 'token');
  await writeFile(tokenFile, token, { mode: 0o600 });
  const upstream = await startHeldUpstream(t);
  const { config, ...rest } = options;
  const given = { certs, upstream: upstream.url, flags: two, cwd: work, ...rest };
  const swivel = await startSwivel(t, { ...given, config: { admin: { tokenFile }, ...accessLog, ...config } });
  const door = { port: swivel.port, ca: authority.certificatePem };
  const processes = async () => {
    const workers = (await settled(swivel, 2)).map(({ pid }) => pid);
    return { primary: swivel.process.pid, workers, all: [swivel.process.pid, ...workers] };
  };
  /** Has each worker answer on a connection of its own: what it was sent before has been seen to. */
  const visitAll = async () => {
    const ids = (await settled(swivel, 2)).map(({ id }) => id);
    await visitEach(swivel, ids, async (path) => {
      const client = await openHttp1(t, door, host);
      assert.equal((await client.get(path)).status, 200);
      client.destroy();
    });
  };
  return { authority, base, certs, work, first, encrypted, tokenFile, swivel, door, processes, visitAll };
}

const logged = ({ process }: Pick<RunningSwivel, 'process'>, code: string) =>
  process.lines.filter((line) => line['code'] === code);

const condition = async (swivel: Pick<RunningSwivel, 'status'>, type: string) => {
  const found = (await swivel.status()).conditions.find((one) => one.type === type);
  return [found?.status, found?.reason];
};

test('no key, passphrase or token is where other processes could find it', bounded, async (t) => {
  const ticketKeys = randomBytes(80);
  const ticketKeyDirectory = await temporaryDirectory(t);
  const ticketKeyFile = join(ticketKeyDirectory, 'tickets');
  await writeFile(ticketKeyFile, ticketKeys, { mode: 0o600 });
  const { authority, base, certs, first, encrypted, tokenFile, swivel, door, processes, visitAll } = await prepare(t, {
    flags: [...two, '--log-level', 'debug'],
    config: { tls: { ticketKeyFile } },
  });
  const parsed = parseTicketKeys(ticketKeys);
  assert.ok('key' in parsed);
  const derived = deriveTicketKeys(new Secret(parsed.key.toString('base64')), []);
  assert.equal((await swivel.status()).ticketKeys.id, ticketKeyId(derived));
  const renewed = await authority.issue({ names: [host] });
  const secrets = new HiddenSecrets()
    .add('the token', token)
    .add('the passphrase', passphrase)
    .add('ticket keys of the file', ticketKeys)
    .add('the name of ticket keys of the file', ticketKeys.subarray(0, 16))
    .add('a part of the ticket keys of the file', ticketKeys.subarray(16, 48))
    .add('ticket keys', derived)
    .add('a part of the ticket keys', derived.subarray(16, 32))
    .add('a part of the ticket keys', derived.subarray(32))
    .addKey('a key', first)
    .addKey('an encrypted key', encrypted)
    .addKey('a renewed key', renewed);
  assert.throws(() => secrets.absentFrom('a key', first.keyPem));
  assert.throws(() => secrets.absentFrom('a key', first.keyPemTraditional.split('\n')[1] ?? ''));

  await writePair(certs, 'app', renewed);
  await swivel.process.line(({ event, to }) => event === 'rotation' && to === renewed.fingerprint256);
  assert.equal((await fetch(`${swivel.adminUrl}/restart-workers`, { method: 'POST' })).status, 200);
  await visitAll();
  assert.equal(await shownTo(door, 'encrypted.test'), encrypted.fingerprint256);
  // Something for the log: a worker that dies, a certificate that is rejected, a request that is refused.
  const {
    primary,
    workers: [victim = 0],
  } = await processes();
  process.kill(victim, 'SIGKILL');
  await gone([victim]);
  await writeAtomically(join(certs, 'slip.crt'), first.keyPem);
  await writeAtomically(join(certs, 'slip.key'), encrypted.encryptedKeyPem('another passphrase'));
  const headers = { origin: 'http://evil.test', authorization: `Bearer ${token}` };
  const refusal = await fetch(`${swivel.adminUrl}/restart-workers`, { method: 'POST', headers });
  assert.equal(refusal.status, 403);
  const answers = [await refusal.text(), JSON.stringify(await swivel.reload())];
  await visitAll();
  const { workers } = await processes();

  await t.test('not in arguments, environment and shared memory of any process', async () => {
    for (const pid of [primary, ...workers]) {
      const shared = [];
      for (const fd of await readdir(`/proc/${pid}/fd`)) {
        const path = `/proc/${pid}/fd/${fd}`;
        const target = await readlink(path).catch(() => '');
        if (/^\/(dev\/shm|memfd:)/.test(target)) shared.push(path);
      }
      await secrets.absentFromProcess(pid, shared);
    }
  });

  await t.test('no worker has a file of secrets open', async () => {
    for (const pid of workers) {
      for (const target of await descriptorsOf(pid)) {
        for (const path of [base, ticketKeyDirectory, tokenFile]) assert.ok(!target.startsWith(path), target);
        assert.doesNotMatch(target, /inotify/);
      }
    }
  });

  await t.test('not in log, status, metrics, and what commands print', async () => {
    answers.push(JSON.stringify(await swivel.status()), await swivel.metrics());
    for (const command of [['status'], ['status', '--json'], ['reload'], ['restart-workers']]) {
      const { stdout, stderr } = await runSwivel([...command, '--admin', swivel.adminUrl]);
      answers.push(stdout, stderr);
    }
    for (const answer of answers) secrets.absentFrom('an answer', answer);
    await swivel.process.stop();
    assert.match(swivel.process.stdout, /"level":"debug".*"worker":\d/);
    secrets.absentFrom('the log', swivel.process.stdout);
    secrets.absentFrom('stderr', swivel.process.stderr);
  });
});

/** Capabilities that the README grants the primary (capabilities(7)): KILL, SETGID, SETUID, NET_BIND_SERVICE, DAC_READ_SEARCH. */
const granted = (1n << 5n) | (1n << 6n) | (1n << 7n) | (1n << 10n) | (1n << 2n);

test('workers of root are nobody in particular, and the primary is not all of root', bounded, async (t) => {
  if (!isRoot(t)) return;
  const address = `127.${randomInt(1, 255)}.${randomInt(1, 255)}.${randomInt(1, 255)}`;
  const { authority, certs, tokenFile, first, swivel, processes, visitAll } = await prepare(t, {
    flags: [...two, '--listen', `${address}:443`],
    config: { process: { user: uid, group: gid } },
  });
  const have = BigInt(`0x${(await statusOf(process.pid))?.get('CapBnd')}`);
  const capabilities = (granted & have).toString(16).padStart(16, '0');
  const none = '0'.repeat(16);
  const onLowPort = async () => {
    const socket = connect({ host: address, port: 443, ca: authority.certificatePem, servername: host });
    await once(socket, 'secureConnect');
    const shown = fingerprintOn(socket);
    socket.destroy();
    return shown;
  };

  /** What the README says under Privileges. */
  const isAsDocumented = async () => {
    const { primary, workers } = await processes();
    for (const pid of workers) {
      const threads = await statusOfThreads(pid);
      assert.ok(threads.length > 1);
      for (const thread of threads) {
        assert.equal(thread.get('Uid'), Array(4).fill(uid).join('\t'));
        assert.equal(thread.get('Gid'), Array(4).fill(gid).join('\t'));
        assert.equal(thread.get('Groups'), String(gid));
        for (const set of ['CapEff', 'CapPrm', 'CapInh', 'CapAmb']) assert.equal(thread.get(set), none, set);
        assert.equal(thread.get('CapBnd'), capabilities);
        assert.equal(thread.get('NoNewPrivs'), '1');
      }
    }
    for (const thread of await statusOfThreads(primary)) {
      assert.equal(thread.get('Uid'), '0\t0\t0\t0');
      for (const set of ['CapEff', 'CapPrm', 'CapBnd']) assert.equal(thread.get(set), capabilities, set);
      for (const set of ['CapInh', 'CapAmb']) assert.equal(thread.get(set), none, set);
      assert.equal(thread.get('NoNewPrivs'), '1');
    }
  };
  await t.test('as the README says', isAsDocumented);

  await t.test('they cannot open what they serve', async () => {
    const read = (path: string) => spawnSync('cat', [path], { uid, gid, encoding: 'utf8' });
    for (const path of [join(certs, 'app.key'), tokenFile]) assert.match(read(path).stderr, /Permission denied/);
    assert.equal(read('/proc/self/status').status, 0);
    const { primary, workers } = await processes();
    for (const pid of [primary, ...workers]) {
      for (const name of ['environ', 'mem', 'maps']) {
        assert.match(read(`/proc/${pid}/${name}`).stderr, /Permission denied/, `${name} of ${pid}`);
      }
    }
  });

  await t.test('a port below 1024 is served, and rotations of keys that only root reads', async () => {
    assert.equal(await onLowPort(), first.fingerprint256);
    const renewed = await authority.issue({ names: [host] });
    await writePair(certs, 'app', renewed);
    await swivel.process.line(({ event, to }) => event === 'rotation' && to === renewed.fingerprint256);
    assert.equal(await onLowPort(), renewed.fingerprint256);
    await visitAll();
  });

  await t.test('those that take their place are no more', async () => {
    const { workers } = await processes();
    assert.equal((await fetch(`${swivel.adminUrl}/restart-workers`, { method: 'POST' })).status, 200);
    await gone(workers);
    const [victim = 0] = (await processes()).workers;
    process.kill(victim, 'SIGKILL');
    await gone([victim]);
    await isAsDocumented();
    await onLowPort();
  });

  await t.test('so nothing is to be warned of', async () => {
    assert.deepEqual(await condition(swivel, 'Unprivileged'), ['True', 'Dropped']);
    for (const code of [
      'SERVING_AS_ROOT',
      'CAPABILITIES_KEPT',
      'CORE_DUMPS_ON',
      'INSPECTOR_OPEN',
      'INSPECTION_REFUSED',
    ]) {
      assert.deepEqual(logged(swivel, code), [], code);
      assert.ok(!swivel.process.stderr.includes(code), code);
    }
  });
});

test('one worker of another user is a process of its own', bounded, async (t) => {
  if (!isRoot(t)) return;
  const authority = await createAuthority();
  const certs = await temporaryDirectory(t);
  await writePair(certs, 'app', await authority.issue({ names: [host] }));
  const upstream = await startHeldUpstream(t);
  const swivel = await startSwivel(t, {
    certs,
    upstream: upstream.url,
    flags: ['--workers', '1'],
    config: { process: { user: uid } },
  });
  const [worker] = await settled(swivel, 1);
  assert.notEqual(worker?.pid, swivel.process.pid);
  assert.equal((await statusOf(worker?.pid ?? 0))?.get('Gid'), Array(4).fill(uid).join('\t'));
  const client = await openHttp1(t, { port: swivel.port, ca: authority.certificatePem }, host);
  assert.equal((await client.get()).status, 200);
});

test('serving as root is told once, loudly, and works', bounded, async (t) => {
  if (!isRoot(t)) return;
  const { swivel, visitAll, processes } = await prepare(t);
  await visitAll();
  assert.equal((await fetch(`${swivel.adminUrl}/restart-workers`, { method: 'POST' })).status, 200);
  await visitAll();
  const warnings = logged(swivel, 'SERVING_AS_ROOT');
  assert.deepEqual(
    warnings.map(({ level, event }) => [level, event]),
    [['warn', 'warning']],
  );
  assert.deepEqual(await condition(swivel, 'Unprivileged'), ['False', 'ServingAsRoot']);
  const { code, stdout } = await runSwivel(['status', '--admin', swivel.adminUrl]);
  assert.equal(code, 0);
  assert.match(stdout, /^Unprivileged: ServingAsRoot: connections are served as root/m);
  for (const pid of (await processes()).all) assert.equal((await statusOf(pid))?.get('Uid'), '0\t0\t0\t0');
});

const coreLimitsOf = async (pid: number) =>
  /^Max core file size +(\S+) +(\S+)/m.exec(await readFile(`/proc/${pid}/limits`, 'utf8'))?.slice(1);

/** Starts a program with core dumps allowed, where that is possible. */
const withCores = ['sh', '-c', 'ulimit -c unlimited; exec "$0" "$@"'];

for (const config of [{}, { process: { user: uid, group: gid } }]) {
  const as = 'process' in config ? 'as another user' : 'as the user that started it';
  test(`no process leaves a core dump, ${as}`, bounded, async (t) => {
    if ('process' in config && !isRoot(t)) return;
    const { swivel, work, processes, visitAll } = await prepare(t, { config, wrap: withCores });
    const { all, workers } = await processes();
    for (const pid of all) {
      for (const limit of (await coreLimitsOf(pid)) ?? ['unknown']) assert.match(limit, /^[01]$/, `process ${pid}`);
    }
    process.kill(workers[0] ?? 0, 'SIGABRT');
    const line = await swivel.process.line(({ code }) => code === 'WORKER_DIED');
    assert.deepEqual([line['pid'], line['how']], [workers[0], 'signal SIGABRT']);
    await visitAll();
    assert.deepEqual(await readdir(work), []);
    assert.deepEqual(logged(swivel, 'CORE_DUMPS_ON'), []);
  });
}

test('core dumps are left alone where that is asked for', bounded, async (t) => {
  const { processes } = await prepare(t, { config: { process: { coreDumps: true } }, wrap: withCores });
  for (const pid of (await processes()).all) assert.equal((await coreLimitsOf(pid))?.[0], 'unlimited');
});

/** Ports that a process listens on, beside those of Swivel. */
async function strangePorts(pid: number, known: readonly string[]): Promise<string[]> {
  const own = known.map((url) => Number(url.split(':').at(-1)).toString(16).toUpperCase().padStart(4, '0'));
  return (await listeningOn(pid)).filter((address) => !own.includes(address.split(':')[1] ?? ''));
}

async function twoPortsInARow(): Promise<[Server, Server]> {
  for (;;) {
    const first = createServer().listen(0, '127.0.0.1');
    await once(first, 'listening');
    const second = createServer().listen((first.address() as AddressInfo).port + 1, '127.0.0.1');
    if (await once(second, 'listening').catch(() => null)) return [first, second];
    first.close();
  }
}

/** Has the inspector opened, and heap snapshots written on a signal that does nothing otherwise. */
const nosy = { NODE_OPTIONS: '--inspect=127.0.0.1:0 --heapsnapshot-signal=SIGWINCH --no-warnings' };

for (const config of [{}, { process: { user: uid, group: gid } }]) {
  const as = 'process' in config ? 'as another user' : 'as the user that started it';
  test(`flags to look inside do not reach workers, ${as}`, bounded, async (t) => {
    if ('process' in config && !isRoot(t)) return;
    const { swivel, work, processes, visitAll } = await prepare(t, { config, env: nosy });
    const { all, workers } = await processes();
    const known = [`:${swivel.port}`, swivel.adminUrl];
    for (const pid of workers) {
      const environment = await readFile(`/proc/${pid}/environ`, 'latin1');
      assert.match(environment, /(^|\0)NODE_OPTIONS=--no-warnings\0/);
      // The port alone, which node:cluster gives, opens nothing.
      assert.doesNotMatch(await readFile(`/proc/${pid}/cmdline`, 'latin1'), /--inspect(?!-port)|heapsnapshot/);
    }
    for (const pid of all) assert.deepEqual(await strangePorts(pid, known), [], `process ${pid}`);
    const opened = swivel.process.stderr.split('Debugger listening').length;
    for (const signal of ['SIGUSR1', 'SIGWINCH'] as const) {
      for (const pid of workers) process.kill(pid, signal);
      await visitAll();
    }
    for (const pid of workers) assert.deepEqual(await strangePorts(pid, known), [], `process ${pid}`);
    assert.equal(swivel.process.stderr.split('Debugger listening').length, opened);
    assert.deepEqual(await readdir(work), []);
    const refused = logged(swivel, 'INSPECTION_REFUSED');
    assert.equal(refused.length, 1);
    assert.match(String(refused[0]?.['message']), /--inspect, --heapsnapshot-signal/);
    assert.equal(logged(swivel, 'INSPECTOR_OPEN').length, 1);
    assert.deepEqual((await processes()).workers, workers);
  });
}

test('SIGUSR1 opens an inspector in no process', bounded, async (t) => {
  const { swivel, processes, visitAll } = await prepare(t);
  const { all } = await processes();
  for (const pid of all) process.kill(pid, 'SIGUSR1');
  await visitAll();
  await swivel.status();
  for (const pid of all) assert.deepEqual(await strangePorts(pid, [`:${swivel.port}`, swivel.adminUrl]), []);
  assert.doesNotMatch(swivel.process.stderr, /Debugger/);
});

test('process.inspect allows it all', bounded, async (t) => {
  const inspectable = { process: { inspect: true } };
  const known = ({ port, adminUrl }: RunningSwivel) => [`:${port}`, adminUrl];
  await t.test('by NODE_OPTIONS', async (s) => {
    const { swivel, processes } = await prepare(s as TestContext, { config: inspectable, env: nosy });
    for (const pid of (await processes()).all) {
      assert.equal((await strangePorts(pid, known(swivel))).length, 1, `process ${pid}`);
    }
    for (const code of ['INSPECTION_REFUSED', 'INSPECTOR_OPEN']) assert.deepEqual(logged(swivel, code), []);
  });
  await t.test('where somebody else has the port after that of the primary', async (s) => {
    const [before, taken] = await twoPortsInARow();
    s.after(() => taken.close());
    const { port } = before.address() as AddressInfo;
    await once(before.close(), 'close');
    const env = { NODE_OPTIONS: `--inspect=127.0.0.1:${port}` };
    const { swivel, processes } = await prepare(s as TestContext, { config: inspectable, env });
    for (const pid of (await processes()).all) {
      assert.equal((await strangePorts(pid, known(swivel))).length, 1, `process ${pid}`);
    }
  });
  await t.test('by SIGUSR1', async (s) => {
    const { swivel, processes } = await prepare(s as TestContext, { config: inspectable });
    const {
      workers: [pid = 0],
    } = await processes();
    assert.deepEqual(await strangePorts(pid, known(swivel)), []);
    process.kill(pid, 'SIGUSR1');
    await until('an inspector', async () => (await strangePorts(pid, known(swivel))).length === 1);
  });
});
