import assert from 'node:assert/strict';
import { mkdir, rename, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { KubernetesVolume, temporaryDirectory, writeAtomically, writePair } from '../test/support/files.ts';
import { createAuthority } from '../test/support/pki.ts';
import { openHttp1, openHttp2, shownTo } from './support/clients.ts';
import { startHeldUpstream } from './support/held-upstream.ts';
import { bounded, startSwivel } from './support/swivel.ts';

const times = 1000;

test('whatever happens to files whose content stays the same, nothing is rotated or drained', bounded, async (t) => {
  const authority = await createAuthority();
  const base = await temporaryDirectory(t);
  const plain = join(base, 'plain');
  const volume = new KubernetesVolume(join(base, 'volume'));
  const [inFiles, inVolume] = [
    await authority.issue({ names: ['files.test'] }),
    await authority.issue({ names: ['volume.test'] }),
  ];
  const [cert, key] = [join(plain, 'site.crt'), join(plain, 'site.key')];
  await mkdir(plain);
  await writePair(plain, 'site', inFiles);
  await volume.updateLeaf(inVolume);
  const upstream = await startHeldUpstream(t);
  const swivel = await startSwivel(t, { certs: [plain, volume.directory], upstream: upstream.url });
  const door = { port: swivel.port, ca: authority.certificatePem };
  const clients = [await openHttp1(t, door, 'files.test'), await openHttp1(t, door, 'volume.test')];
  const http2 = await openHttp2(t, door, 'files.test');

  const ways: Record<string, () => Promise<unknown>> = {
    'written again in place': async () => {
      await writeFile(key, inFiles.keyPem);
      await writeFile(cert, inFiles.chainPem);
    },
    touched: () => {
      const now = new Date();
      return Promise.all([utimes(cert, now, now), utimes(key, now, now)]);
    },
    'replaced by a copy': () => writePair(plain, 'site', inFiles),
    'renamed away and back': async () => {
      await rename(key, `${key}.aside`);
      await rename(`${key}.aside`, key);
    },
    'swapped by ..data for the same content': () => volume.updateLeaf(inVolume),
  };
  for (const [way, change] of Object.entries(ways)) {
    await t.test(`${times} times ${way}`, async () => {
      for (let i = 0; i < times; i += 1) await change();
      // Whatever was seen on the way: this is a look at everything.
      const { generation, results } = await swivel.reload();
      assert.equal(generation, 1);
      assert.deepEqual(
        results.map(({ result }) => result),
        ['unchanged', 'unchanged'],
      );
      const { rotations, certificates } = await swivel.status();
      assert.deepEqual(rotations, []);
      for (const { generation, diskMatchesServed } of certificates) {
        assert.deepEqual([generation, diskMatchesServed], [1, true]);
      }
      assert.equal(await swivel.metric('swivel_certificate_reloads_total', { result: 'applied' }), undefined);
      assert.equal(await swivel.metric('swivel_generation'), 1);
      assert.equal(await swivel.metric('swivel_connections_drained_total'), undefined);
      for (const client of clients) assert.equal((await client.get()).lastOne, false);
      assert.equal((await http2.get()).status, 200);
      assert.deepEqual(http2.goaways, []);
    });
  }

  await t.test('a change among them is found', async () => {
    const renewed = await authority.issue({ names: ['volume.test'] });
    await volume.updateLeaf(renewed);
    await writeAtomically(cert, inFiles.chainPem);
    const line = await swivel.process.line(({ event }) => event === 'rotation');
    assert.equal(line['to'], renewed.fingerprint256);
    assert.equal(await shownTo(door, 'volume.test'), renewed.fingerprint256);
    const { rotations } = await swivel.status();
    assert.equal(rotations.length, 1);
    assert.equal((await clients[0]?.get())?.lastOne, false);
  });
});
