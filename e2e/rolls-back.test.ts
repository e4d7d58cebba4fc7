import assert from 'node:assert/strict';
import { utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ReloadAnswer } from '../src/admin/index.ts';
import { KubernetesVolume, temporaryDirectory } from '../test/support/files.ts';
import { createAuthority, type Leaf } from '../test/support/pki.ts';
import { openHttp1, shownTo } from './support/clients.ts';
import { serviceOf, startModestLoad } from './support/modest-load.ts';
import { bounded, runSwivel, startSwivel } from './support/swivel.ts';
import { until } from './support/until.ts';

const ids = ['a', 'b', 'c'] as const;
type Id = (typeof ids)[number];
const hostOf = (id: Id) => `${id}.test`;

test('a rollback serves the certificate before, until the files change', bounded, async (t) => {
  const authority = await createAuthority();
  const issue = (id: Id) => authority.issue({ names: [hostOf(id)] });
  const first = { a: await issue('a'), b: await issue('b'), c: await issue('c') };
  const volume = new KubernetesVolume(join(await temporaryDirectory(t), 'certs'));
  /** All files by one swap, as one change. */
  const write = (leaves: Record<Id, Leaf>) =>
    volume.update(
      Object.fromEntries(
        ids.flatMap((id) => [
          [`${id}.crt`, leaves[id].chainPem],
          [`${id}.key`, leaves[id].keyPem],
        ]),
      ),
    );
  await write(first);
  const upstream = await serviceOf(t);
  const swivel = await startSwivel(t, {
    certs: volume.directory,
    upstream: upstream.url,
    config: { watch: { resync: '50ms' }, drain: { spread: '0s' } },
  });
  const door = { port: swivel.port, ca: authority.certificatePem };
  const load = await startModestLoad(t, swivel, 'a.test', authority.certificatePem);
  const log = swivel.process.follow();
  const rollback = (...args: string[]) => runSwivel(['rollback', ...args, '--admin', swivel.adminUrl]);
  const post = (query: string) => fetch(`${swivel.adminUrl}/rollback${query}`, { method: 'POST' });
  const statusOf = async (id: string) => (await swivel.status()).certificates.find((one) => one.id === id);
  const generation = async () => (await swivel.status()).generation;
  const rotationTo = async (leaf: Leaf) =>
    swivel.process.line(({ event, to }) => event === 'rotation' && to === leaf.fingerprint256);
  const isServed = async (leaves: Record<Id, Leaf>) => {
    for (const id of ids) assert.equal(await shownTo(door, hostOf(id)), leaves[id].fingerprint256, id);
  };
  /** All that was begun before is over, and everything was read again. */
  const hasLookedAgain = async () => {
    for (let i = 0; i < 2; i += 1) {
      const checked = async () => (await swivel.metric('swivel_watch_last_check_timestamp_seconds')) ?? 0;
      const before = await checked();
      await until('the sources are read', async () => (await checked()) > before);
    }
  };
  const second = { ...first, a: await issue('a') };
  let third = second;

  await t.test('nothing was served before: there is nothing to go back to', async () => {
    const { code, stdout, stderr } = await rollback();
    assert.deepEqual([code, stdout], [1, '']);
    assert.match(stderr, /^swivel: ROLLBACK_IMPOSSIBLE: there is no earlier certificate to go back to; put the /);
    const answer = await post('?certificate=a');
    assert.deepEqual([answer.status, ((await answer.json()) as { code: string }).code], [409, 'ROLLBACK_IMPOSSIBLE']);
    assert.equal(await generation(), 1);
  });

  await t.test('there is no certificate of that id', async () => {
    const { code, stdout, stderr } = await rollback('nobody');
    assert.deepEqual([code, stdout], [1, '']);
    assert.match(stderr, /^swivel: CERTIFICATE_UNKNOWN: there is no certificate "nobody"; see swivel status/);
    const answer = await post('?certificate=nobody');
    assert.deepEqual([answer.status, ((await answer.json()) as { code: string }).code], [404, 'CERTIFICATE_UNKNOWN']);
  });

  await t.test('swivel rollback ID serves what was served before, under a new number', async () => {
    await write(second);
    await rotationTo(second.a);
    assert.equal(await generation(), 2);
    const client = await openHttp1(t, door, 'a.test');
    assert.equal(client.fingerprint256, second.a.fingerprint256);

    const { code, stdout, stderr } = await rollback('a');
    assert.deepEqual([code, stderr], [0, '']);
    assert.deepEqual(stdout.split('\n'), ['a: rolled back', 'b: unchanged', 'c: unchanged', 'generation 3', '']);
    await isServed(first);
    const line = await log(({ event, trigger }) => event === 'rotation' && trigger === 'rollback');
    assert.deepEqual([line['from'], line['to']], [second.a.fingerprint256, first.a.fingerprint256]);
    assert.equal((await client.get()).lastOne, true, 'what it leaves is drained');
    const told = await swivel.process.line(({ code }) => code === 'ROLLED_BACK');
    assert.equal(told['certificate'], 'a');
    const { state, diskMatchesServed, lastError, fingerprint256 } = (await statusOf('a')) ?? {};
    assert.deepEqual([state, diskMatchesServed, fingerprint256], ['held', false, first.a.fingerprint256]);
    assert.equal(lastError?.code, 'ROLLED_BACK');
    assert.equal(await swivel.metric('swivel_certificate_disk_matches_served', { certificate: 'a' }), 0);
    assert.equal((await swivel.ready()).status, 200);
  });

  await t.test('neither the resync, nor SIGHUP, a reload or a touched file ends that', async () => {
    await hasLookedAgain();
    const now = new Date();
    for (const id of ids) await utimes(join(volume.directory, `${id}.crt`), now, now);
    await hasLookedAgain();
    await write(second);
    await hasLookedAgain();
    swivel.process.kill('SIGHUP');
    await log(({ event }) => event === 'reload');
    const { results } = await swivel.reload();
    assert.equal(results.find(({ certificate }) => certificate === 'a')?.code, 'ROLLED_BACK');
    assert.equal(await generation(), 3);
    await isServed(first);
    assert.equal((await statusOf('a'))?.state, 'held');
  });

  await t.test('the next change of the files does', async () => {
    third = { ...second, a: await issue('a') };
    await write(third);
    const line = await rotationTo(third.a);
    assert.equal(line['from'], first.a.fingerprint256);
    await isServed(third);
    await until('the status says so', async () => (await statusOf('a'))?.diskMatchesServed);
    const { state, lastError } = (await statusOf('a')) ?? {};
    assert.deepEqual([state, lastError], ['serving', null]);
    assert.equal(await generation(), 4);
  });

  await t.test('POST /rollback does the same, and swivel reload --accept ends it at once', async () => {
    const answer = await post('?certificate=a');
    assert.equal(answer.status, 200);
    const { generation: number, rolledBack, results } = (await answer.json()) as ReloadAnswer;
    assert.deepEqual([number, rolledBack], [5, ['a']]);
    assert.deepEqual(
      results.map(({ certificate, code }) => [certificate, code]),
      [
        ['a', 'ROLLED_BACK'],
        ['b', undefined],
        ['c', undefined],
      ],
    );
    await isServed(first);
    const accepted = await runSwivel(['reload', '--accept', 'a', '--admin', swivel.adminUrl]);
    assert.equal(accepted.code, 0);
    assert.match(accepted.stdout, /^a: applied$/m);
    await isServed(third);
    assert.equal(await generation(), 6);
  });

  await t.test('without an id, everything that the last change changed goes back together', async () => {
    const fourth = { a: await issue('a'), b: await issue('b'), c: third.c };
    await write(fourth);
    await rotationTo(fourth.a);
    await isServed(fourth);
    assert.equal(await generation(), 7);
    const { code, stdout } = await rollback();
    assert.equal(code, 0);
    assert.deepEqual(stdout.split('\n'), ['a: rolled back', 'b: rolled back', 'c: unchanged', 'generation 8', '']);
    await isServed(third);
    assert.equal((await statusOf('c'))?.state, 'serving');

    // One of them changes: the other stays as it is held.
    const fifth = { ...fourth, b: await issue('b') };
    await write(fifth);
    await rotationTo(fifth.b);
    await isServed({ ...third, b: fifth.b });
    assert.equal((await statusOf('a'))?.state, 'held');
  });

  await t.test('no client noticed any of it', () => load.unharmed());
});
