import assert from 'node:assert/strict';
import { readdir, readlink, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryDirectory, writeAtomically, writePair } from '../test/support/files.ts';
import { createAuthority } from '../test/support/pki.ts';
import { shownTo } from './support/clients.ts';
import { bounded, runSwivel, SwivelProcess, startSwivel, writeConfig } from './support/swivel.ts';

const upstream = 'http://127.0.0.1:9';

async function openFiles(pid: number): Promise<string[]> {
  const files = await readdir(`/proc/${pid}/fd`);
  return Promise.all(files.map((file) => readlink(`/proc/${pid}/fd/${file}`).catch(() => '')));
}

test('with watching off, only a signal or a reload makes it look', bounded, async (t) => {
  const authority = await createAuthority();
  const directory = await temporaryDirectory(t);
  const first = await authority.issue();
  await writePair(directory, 'site', first);
  const watch = { resync: '20ms', pollInterval: '20ms' };
  const swivel = await startSwivel(t, { certs: directory, upstream, config: { watch: { ...watch, mode: 'off' } } });
  const witness = await startSwivel(t, { certs: directory, upstream, config: { watch } });
  const door = { port: swivel.port, ca: authority.certificatePem };
  const log = swivel.process.follow();
  const cli = (...args: string[]) => runSwivel([...args, '--admin', swivel.adminUrl]);

  await t.test('it does not look by itself', async () => {
    const checked = await swivel.metric('swivel_watch_last_check_timestamp_seconds');
    assert.ok((await openFiles(witness.process.pid)).includes('anon_inode:inotify'));
    assert.ok(!(await openFiles(swivel.process.pid)).includes('anon_inode:inotify'));
    const unseen = await authority.issue();
    await writePair(directory, 'site', unseen);
    await witness.process.line(({ event, to }) => event === 'rotation' && to === unseen.fingerprint256);
    // The witness looks fifty times a second; let it look some more.
    for (let i = 0; i < 20; i += 1) await witness.reload();
    assert.equal(await shownTo(door, 'localhost'), first.fingerprint256);
    assert.deepEqual((await swivel.status()).rotations, []);
    assert.equal(await swivel.metric('swivel_watch_last_check_timestamp_seconds'), checked);
  });

  await t.test('SIGHUP reconciles', async () => {
    const leaf = await authority.issue();
    await writePair(directory, 'site', leaf);
    swivel.process.kill('SIGHUP');
    const rotation = await log(({ event }) => event === 'rotation');
    assert.deepEqual([rotation['to'], rotation['trigger']], [leaf.fingerprint256, 'signal']);
    assert.equal((await log(({ event }) => event === 'reload'))['generation'], 2);
    assert.equal(await shownTo(door, 'localhost'), leaf.fingerprint256);
  });

  await t.test('POST /reload answers what came of it', async () => {
    assert.deepEqual(await swivel.reload(), { generation: 2, results: [{ certificate: 'site', result: 'unchanged' }] });
    const leaf = await authority.issue();
    await writePair(directory, 'site', leaf);
    assert.deepEqual(await swivel.reload(), { generation: 3, results: [{ certificate: 'site', result: 'applied' }] });
    assert.equal((await swivel.status()).rotations[0]?.trigger, 'api');
    assert.equal(await shownTo(door, 'localhost'), leaf.fingerprint256);

    await writeAtomically(join(directory, 'site.key'), (await authority.issue()).keyPem);
    const { generation, results } = await swivel.reload();
    assert.equal(generation, 3);
    assert.deepEqual(
      results.map(({ certificate, result, code }) => ({ certificate, result, code })),
      [{ certificate: 'site', result: 'rejected', code: 'KEY_MISMATCH' }],
    );
    assert.ok(results[0]?.message?.includes(join(directory, 'site.key')));
    assert.equal(await shownTo(door, 'localhost'), leaf.fingerprint256);
    await writePair(directory, 'site', leaf);
    await swivel.reload();
  });

  await t.test('swivel reload prints what came of it, and fails when something was rejected', async () => {
    const unchanged = await cli('reload');
    assert.deepEqual([unchanged.code, unchanged.stdout], [0, 'site: unchanged\ngeneration 3\n']);
    const leaf = await authority.issue();
    await writePair(directory, 'site', leaf);
    const applied = await cli('reload');
    assert.deepEqual([applied.code, applied.stdout], [0, 'site: applied\ngeneration 4\n']);
    await rm(join(directory, 'site.key'));
    const rejected = await cli('reload');
    assert.equal(rejected.code, 3);
    assert.match(rejected.stdout, /^site: rejected: KEY_MISSING: .*; add NAME\.key/);
    await writePair(directory, 'site', leaf);
    assert.equal((await cli('reload')).code, 0);
    assert.equal(await shownTo(door, 'localhost'), leaf.fingerprint256);
  });

  await t.test('swivel status shows what is served', async () => {
    const { fingerprint256 = '' } = (await swivel.status()).certificates[0] ?? {};
    const shown = await cli('status');
    assert.equal(shown.code, 0);
    assert.match(shown.stdout, /^Swivel \S+, ready, generation 4, /);
    assert.match(shown.stdout, new RegExp(`^site +serving +yes +${fingerprint256?.slice(0, 16)} `, 'm'));
    assert.deepEqual(JSON.parse((await cli('status', '--json')).stdout), await swivel.status());
    assert.equal((await cli('status', '--ready')).code, 0);
  });

  await t.test('SIGUSR2 switches debug lines on and off', async () => {
    for (const level of ['debug', 'info', 'debug']) {
      swivel.process.kill('SIGUSR2');
      const line = await log(({ event }) => event === 'log-level');
      assert.deepEqual([line['level'], line['logLevel']], ['info', level]);
    }
  });
});

test('signals that come before it listens do not end it, and SIGHUP is obeyed', bounded, async (t) => {
  const directory = join(await temporaryDirectory(t), 'certs');
  const config = await writeConfig(t, { certificates: [{ path: directory, development: ['localhost'] }] });
  const flags = ['--config', config, '--upstream', upstream, '--listen', '127.0.0.1:0', '--admin', 'off'];
  const swivel = new SwivelProcess(['serve', ...flags, '--log-format', 'json']);
  t.after(() => swivel.kill('SIGKILL'));
  await swivel.line(({ event }) => event === 'development-certificate');
  swivel.kill('SIGHUP');
  swivel.kill('SIGUSR2');
  await swivel.line(({ event }) => event === 'listening');
  await swivel.line(({ event }) => event === 'reload');
  assert.equal((await swivel.stop()).code, 0);
});

test('SIGTERM before it listens ends it', bounded, async (t) => {
  const directory = join(await temporaryDirectory(t), 'certs');
  const config = await writeConfig(t, { certificates: [{ path: directory, development: ['localhost'] }] });
  const flags = ['--config', config, '--upstream', upstream, '--listen', '127.0.0.1:0', '--admin', 'off'];
  const swivel = new SwivelProcess(['serve', ...flags, '--log-format', 'json']);
  t.after(() => swivel.kill('SIGKILL'));
  await swivel.line(({ event }) => event === 'development-certificate');
  assert.equal((await swivel.stop()).code, 0);
});
