import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { KubernetesVolume, temporaryDirectory } from '../test/support/files.ts';
import { createAuthority } from '../test/support/pki.ts';
import { shownTo } from './support/clients.ts';
import { canDo } from './support/machine.ts';
import { bounded, startSwivel } from './support/swivel.ts';
import { until } from './support/until.ts';

const upstream = 'http://127.0.0.1:9';
const run = promisify(execFile);

async function listensToInotify(pid: number): Promise<boolean> {
  const files = await readdir(`/proc/${pid}/fd`);
  const targets = await Promise.all(files.map((file) => readlink(`/proc/${pid}/fd/${file}`).catch(() => '')));
  return targets.includes('anon_inode:inotify');
}

test('polling finds every change, without asking the system for events', bounded, async (t) => {
  const authority = await createAuthority();
  const volume = new KubernetesVolume(join(await temporaryDirectory(t), 'certs'));
  await volume.updateLeaf(await authority.issue());
  const watch = { mode: 'poll', pollInterval: '50ms', resync: '1h' };
  const swivel = await startSwivel(t, { certs: volume.directory, upstream, config: { watch } });
  const door = { port: swivel.port, ca: authority.certificatePem };
  assert.equal(await listensToInotify(swivel.process.pid), false);
  for (let i = 0; i < 3; i += 1) {
    const leaf = await authority.issue();
    await volume.updateLeaf(leaf);
    const line = await swivel.process.line(({ event, to }) => event === 'rotation' && to === leaf.fingerprint256);
    assert.equal(line['trigger'], 'resync');
    assert.equal(await shownTo(door, 'localhost'), leaf.fingerprint256);
  }
  const { conditions } = await swivel.status();
  assert.ok(!conditions.some(({ type, status }) => type === 'WatchingEvents' && status === 'False'), 'as configured');
});

for (const limit of ['watches', 'instances']) {
  test(`without a right to inotify ${limit} it polls, says so, and rotates as ever`, bounded, async (t) => {
    const setting = `/proc/sys/user/max_inotify_${limit}`;
    const wrap = ['unshare', '-Ur', 'bash', '-c', `echo 0 > ${setting} && exec "$@"`, 'bash'];
    if (!canDo(t, 'a user namespace', [...wrap, 'true'])) return;
    const authority = await createAuthority();
    const volume = new KubernetesVolume(join(await temporaryDirectory(t), 'certs'));
    await volume.updateLeaf(await authority.issue());
    const watch = { pollInterval: '100ms', resync: '1h' };
    const swivel = await startSwivel(t, { certs: volume.directory, upstream, config: { watch }, wrap });
    const line = await swivel.process.line(({ code }) => code === 'WATCH_UNAVAILABLE');
    assert.equal(line['level'], 'warn');
    assert.match(String(line['remedy']), /max_user_watches/);
    const { conditions, ready } = await swivel.status();
    const { status, reason } = conditions.find(({ type }) => type === 'WatchingEvents') ?? {};
    assert.deepEqual([status, reason, ready], ['False', 'Polling', true]);
    for (let i = 0; i < 3; i += 1) {
      const leaf = await authority.issue();
      await volume.updateLeaf(leaf);
      await swivel.process.line(({ event, to }) => event === 'rotation' && to === leaf.fingerprint256);
      assert.equal(
        await shownTo({ port: swivel.port, ca: authority.certificatePem }, 'localhost'),
        leaf.fingerprint256,
      );
    }
    const told = swivel.process.lines.filter(({ code }) => code === 'WATCH_UNAVAILABLE');
    assert.equal(told.length, 1, 'once is enough');
  });
}

test('a directory that is mounted over tells nobody, and the resync finds it', bounded, async (t) => {
  const privateMounts = ['unshare', '-m', '--propagation', 'private'];
  const [own, ...rest] = privateMounts;
  const wrap = process.getuid?.() === 0 ? privateMounts : [own ?? '', '-Ur', ...rest];
  if (!canDo(t, 'a mount namespace', [...wrap, 'bash', '-c', 'mount -t tmpfs none /mnt'])) return;
  const authority = await createAuthority();
  const base = await temporaryDirectory(t);
  const [below, above] = [join(base, 'below'), join(base, 'above')];
  const first = await authority.issue();
  const second = await authority.issue();
  await new KubernetesVolume(below).updateLeaf(first);
  const upper = new KubernetesVolume(above);
  await upper.updateLeaf(second);
  const watch = { resync: '300ms' };
  const swivel = await startSwivel(t, { certs: below, upstream, config: { watch }, wrap });
  const door = { port: swivel.port, ca: authority.certificatePem };
  assert.equal(await shownTo(door, 'localhost'), first.fingerprint256);
  assert.ok(await listensToInotify(swivel.process.pid));

  const inside = [
    '-t',
    String(swivel.process.pid),
    '-m',
    ...(process.getuid?.() === 0 ? [] : ['-U', '--preserve-credentials']),
  ];
  await run('nsenter', [...inside, 'mount', '--bind', above, below]);
  const line = await swivel.process.line(({ event }) => event === 'rotation');
  // Mostly `resync`; `event` when the look that follows the arming of the watch came only now.
  assert.equal(line['to'], second.fingerprint256);
  assert.equal(await shownTo(door, 'localhost'), second.fingerprint256);

  await t.test('from then on the new directory is watched', async () => {
    await until('an event is what finds a change again', async () => {
      const leaf = await authority.issue();
      await upper.updateLeaf(leaf);
      const line = await swivel.process.line(({ event, to }) => event === 'rotation' && to === leaf.fingerprint256);
      return line['trigger'] === 'event';
    });
  });
});
