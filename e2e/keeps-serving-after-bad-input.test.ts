import assert from 'node:assert/strict';
import { chmod, cp, mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { catalogue } from '../src/errors.ts';
import { temporaryDirectory } from '../test/support/files.ts';
import { startUpstream } from '../test/support/load/upstream.ts';
import { createAuthority } from '../test/support/pki.ts';
import { badInputs, createVictim, type Victim, writeFiles } from './support/bad-input.ts';
import { openHttp1, shownTo } from './support/clients.ts';
import { canDo, unprivileged } from './support/machine.ts';
import { bounded, type LogLine, startSwivel } from './support/swivel.ts';
import { until } from './support/until.ts';

const idOf = (i: number) => `case-${String(i).padStart(2, '0')}`;

test('a certificate that works is served on, whatever comes to stand on disk', bounded, async (t) => {
  const wrap = unprivileged();
  if (!canDo(t, 'running as another user', [...wrap, process.execPath, '--version'])) return;
  const authority = await createAuthority();
  const base = await temporaryDirectory(t);
  await chmod(base, 0o755);
  const directory = join(base, 'certs');
  await mkdir(directory);
  const victims: Victim[] = [];
  for (const i of badInputs.keys()) victims.push(await createVictim(directory, idOf(i), authority));
  const control = await createVictim(directory, 'control', authority);
  const everybody = [...victims, control];
  const upstream = await startUpstream();
  t.after(() => upstream.close());
  const swivel = await startSwivel(t, { certs: directory, upstream: upstream.url, wrap });
  const door = { port: swivel.port, ca: authority.certificatePem };
  const connections = await Promise.all(everybody.map(({ host }) => openHttp1(t, door, host)));
  const statusOf = async (id: string) => (await swivel.status()).certificates.find((one) => one.id === id);

  const everybodyIsServed = async () => {
    for (const { host, leaf } of everybody) assert.equal(await shownTo(door, host), leaf.fingerprint256, host);
  };
  const nobodyWasDisturbed = async () => {
    for (const [i, connection] of connections.entries()) {
      const { status, lastOne } = await connection.get(`/${i}`);
      assert.deepEqual([status, lastOne], [200, false], `connection ${i}`);
    }
    const { generation, rotations } = await swivel.status();
    assert.equal(generation, 1);
    assert.deepEqual(rotations, []);
    assert.equal(await swivel.metric('swivel_connections_drained_total'), undefined);
    assert.equal(await swivel.metric('swivel_certificate_reloads_total', { result: 'applied' }), undefined);
    assert.equal((await swivel.ready()).status, 200);
  };

  await t.test('all of them at once, each in its own way', async (t) => {
    for (const [i, { spoil }] of badInputs.entries()) await spoil(victims[i] as Victim);
    for (const [i, bad] of badInputs.entries()) {
      await t.test(bad.name, async () => {
        const { host, leaf, [bad.blames]: file } = victims[i] as Victim;
        const certificate = idOf(i);
        const isIt = (line: LogLine) => line.event === 'rejected' && line['certificate'] === certificate;
        const line = await swivel.process
          .line((line) => isIt(line) && line['code'] === bad.code)
          .catch((error) => {
            const seen = swivel.process.lines.filter(isIt).map(({ code, file }) => `${code} ${file}`);
            throw new Error(`${bad.code} was not logged; there is: ${seen.join(', ') || error.message}`);
          });
        assert.equal(line['file'], file);
        assert.equal(line['remedy'], catalogue[bad.code].remedy);
        assert.equal(await shownTo(door, host), leaf.fingerprint256);

        const status = await statusOf(certificate);
        assert.equal(status?.state, 'rejected');
        assert.equal(status?.fingerprint256, leaf.fingerprint256);
        assert.equal(status?.diskMatchesServed, false);
        const { code, remedy, message, at } = status?.lastError ?? {};
        assert.deepEqual([code, status?.lastError?.file, remedy], [bad.code, file, catalogue[bad.code].remedy]);
        assert.ok(message);
        assert.ok(Date.parse(at ?? '') > 0);
        assert.equal(await swivel.metric('swivel_certificate_disk_matches_served', { certificate }), 0);
        const reloads = await swivel.metric('swivel_certificate_reloads_total', { certificate, result: 'rejected' });
        assert.ok((reloads ?? 0) >= 1);
      });
    }
    await t.test('the one that is left alone is as it was', async () => {
      const { state, diskMatchesServed, lastError, generation } = (await statusOf('control')) ?? {};
      assert.deepEqual(
        { state, diskMatchesServed, lastError, generation },
        {
          state: 'serving',
          diskMatchesServed: true,
          lastError: null,
          generation: 1,
        },
      );
      assert.equal(await swivel.metric('swivel_certificate_disk_matches_served', { certificate: 'control' }), 1);
      assert.equal(await swivel.metric('swivel_certificate_reloads_total', { certificate: 'control' }), undefined);
    });
    await nobodyWasDisturbed();
    const { conditions } = await swivel.status();
    assert.equal(conditions.find(({ type }) => type === 'DiskInSync')?.status, 'False');
  });

  await t.test('each is well again when the good files are back', async (t) => {
    for (const [i, { tidy }] of badInputs.entries()) {
      await tidy?.(victims[i] as Victim);
      await writeFiles(victims[i] as Victim, (victims[i] as Victim).leaf);
    }
    for (const [i, { name }] of badInputs.entries()) {
      await t.test(name, async () => {
        const certificate = idOf(i);
        await swivel.process.line((line) => line.event === 'recovered' && line['certificate'] === certificate);
        const { state, diskMatchesServed, lastError } = (await statusOf(certificate)) ?? {};
        assert.deepEqual([state, diskMatchesServed, lastError], ['serving', true, null]);
        assert.equal(await swivel.metric('swivel_certificate_disk_matches_served', { certificate }), 1);
      });
    }
    await everybodyIsServed();
    await nobodyWasDisturbed();
  });

  for (const how of ['deleted', 'renamed away', 'not to be listed'] as const) {
    await t.test(`the whole directory is ${how}, and comes back`, async () => {
      const log = swivel.process.follow();
      const aside = join(base, 'aside');
      const code = how === 'not to be listed' ? 'SOURCE_UNREADABLE' : 'SOURCE_MISSING';
      if (how === 'deleted') {
        await cp(directory, aside, { recursive: true });
        await rm(directory, { recursive: true });
      } else if (how === 'renamed away') await rename(directory, aside);
      else await chmod(directory, 0);

      const line = await log((line) => line['code'] === code);
      assert.equal(line['file'], directory);
      assert.equal(line['remedy'], catalogue[code].remedy);
      await everybodyIsServed();
      await nobodyWasDisturbed();
      const spoilt = await until('every certificate is marked', async () => {
        const { certificates } = await swivel.status();
        return certificates.every(({ lastError }) => lastError !== null) && certificates;
      });
      assert.equal(spoilt.length, everybody.length);
      for (const { id, state, diskMatchesServed, lastError } of spoilt) {
        assert.deepEqual([state, diskMatchesServed], ['rejected', false], id);
        assert.ok(lastError?.file, id);
      }
      assert.equal(await swivel.metric('swivel_certificate_disk_matches_served'), 0);

      if (how === 'not to be listed') await chmod(directory, 0o755);
      else await rename(aside, directory);
      await until('every certificate is well again', async () =>
        (await swivel.status()).certificates.every(({ state, lastError }) => state === 'serving' && !lastError),
      );
      await log((line) => line.event === 'recovered');
      await everybodyIsServed();
      await nobodyWasDisturbed();
    });
  }

  await t.test('and a renewal is applied as ever', async () => {
    const renewed = await authority.issue({ names: [control.host] });
    await writeFiles(control, renewed);
    const line = await swivel.process.line(({ event }) => event === 'rotation');
    assert.equal(line['certificate'], 'control');
    assert.equal(await shownTo(door, control.host), renewed.fingerprint256);
  });
});
