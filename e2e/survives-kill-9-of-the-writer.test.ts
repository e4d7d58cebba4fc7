import assert from 'node:assert/strict';
import { copyFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { CertbotLive, temporaryDirectory, writePair } from '../test/support/files.ts';
import { type Authority, createAuthority, type Leaf } from '../test/support/pki.ts';
import { openHttp1, shownTo } from './support/clients.ts';
import { startHeldUpstream } from './support/held-upstream.ts';
import { bounded, type LogLine, type RunningSwivel, startSwivel } from './support/swivel.ts';
import { writeHalf } from './support/writing.ts';

interface Scene {
  readonly swivel: RunningSwivel;
  readonly authority: Authority;
  readonly door: { readonly port: number; readonly ca: string };
}

async function serve(t: TestContext, directory: string, authority: Authority): Promise<Scene> {
  const upstream = await startHeldUpstream(t);
  const swivel = await startSwivel(t, {
    certs: directory,
    upstream: upstream.url,
    config: { drain: { spread: '0s' } },
  });
  return { swivel, authority, door: { port: swivel.port, ca: authority.certificatePem } };
}

const isRejected = ({ event }: LogLine) => event === 'rejected';
const isRotationTo = (leaf: Leaf) => (line: LogLine) => line.event === 'rotation' && line['to'] === leaf.fingerprint256;

test('a writer that is killed in the middle of a file leaves the old certificate in service', bounded, async (t) => {
  const authority = await createAuthority();
  const directory = await temporaryDirectory(t);
  const path = (name: string) => join(directory, name);
  const old = {
    pair: await authority.issue({ names: ['pair.test'] }),
    both: await authority.issue({ names: ['both.test'] }),
  };
  await writePair(directory, 'pair', old.pair);
  const together = (leaf: Leaf) => leaf.keyPem + leaf.chainPem;
  await writeFile(path('both.pem'), together(old.both));
  const { swivel, door } = await serve(t, directory, authority);
  const clients = { pair: await openHttp1(t, door, 'pair.test'), both: await openHttp1(t, door, 'both.test') };
  const log = swivel.process.follow();

  const cases = [
    ['pair', 'pair.key', (leaf: Leaf) => leaf.keyPem],
    ['pair', 'pair.crt', (leaf: Leaf) => leaf.chainPem],
    ['both', 'both.pem', together],
  ] as const;
  for (const keepsRest of [false, true]) {
    for (const [id, name, content] of cases) {
      await t.test(`${name}, ${keepsRest ? 'over the old content' : 'from the beginning'}`, async () => {
        const next = await authority.issue({ names: [`${id}.test`] });
        const writer = await writeHalf(t, path(name), content(next), keepsRest);
        const rejected = await log(isRejected);
        assert.equal(rejected['certificate'], id);
        await writer.kill();
        assert.equal(await shownTo(door, `${id}.test`), old[id].fingerprint256);
        assert.equal((await clients[id].get()).lastOne, false);
        const { certificates } = await swivel.status();
        const entry = certificates.find((one) => one.id === id);
        assert.deepEqual([entry?.state, entry?.diskMatchesServed], ['rejected', false]);

        // The writer is started again, and comes to its end.
        if (id === 'pair') await writeFile(path('pair.key'), next.keyPem);
        await writeFile(path(id === 'pair' ? 'pair.crt' : 'both.pem'), id === 'pair' ? next.chainPem : together(next));
        await log(isRotationTo(next));
        assert.equal(await shownTo(door, `${id}.test`), next.fingerprint256);
        assert.equal((await clients[id].get()).lastOne, true);
        old[id] = next;
        clients[id] = await openHttp1(t, door, `${id}.test`);
      });
    }
  }
});

test(
  'half a renewal over a certificate with the same key is noticed, though the key belongs to it',
  bounded,
  async (t) => {
    const authority = await (await createAuthority()).intermediate();
    const directory = await temporaryDirectory(t);
    const old = await authority.issue({ names: ['pair.test'] });
    await writePair(directory, 'pair', old);
    const { swivel } = await serve(t, directory, authority);
    const next = await authority.issue({ names: ['pair.test'], sameKeyAs: old });
    // Serial number and dates are of the new one, the signature is of the old one.
    const text = next.certificatePem.slice(0, next.certificatePem.length - 100);
    const writer = await writeHalf(t, join(directory, 'pair.crt'), text + text, true);
    const rejected = await swivel.process.line(isRejected);
    assert.deepEqual([rejected['certificate'], rejected['code']], ['pair', 'CERT_UNPARSABLE']);
    await writer.kill();
    assert.equal(await shownTo({ port: swivel.port }, 'pair.test'), old.fingerprint256);
    await writeFile(join(directory, 'pair.crt'), next.chainPem);
    await swivel.process.line(isRotationTo(next));
  },
);

test('certbot renews link by link, and only whole renewals are served', bounded, async (t) => {
  const authority = await (await createAuthority()).intermediate();
  const live = new CertbotLive(await temporaryDirectory(t), 'app.test');
  const old = await authority.issue({ names: ['app.test'] });
  await live.renew(old);
  const { swivel } = await serve(t, live.directory, authority);
  let before = old;
  for (let i = 0; i < 20; i += 1) {
    const next = await authority.issue({ names: ['app.test'] });
    await live.renew(next);
    const line = await swivel.process.line(isRotationTo(next));
    assert.equal(line['from'], before.fingerprint256);
    assert.equal(await shownTo({ port: swivel.port }, 'app.test'), next.fingerprint256);
    before = next;
  }
  const { rotations, certificates } = await swivel.status();
  assert.equal(rotations.length, 20);
  assert.deepEqual(
    certificates.map(({ id, state }) => [id, state]),
    [['fullchain', 'serving']],
  );
  assert.deepEqual(swivel.process.lines.filter(isRejected), []);
});

test('what editors do to a file is understood', bounded, async (t) => {
  const authority = await createAuthority();
  const directory = await temporaryDirectory(t);
  const file = join(directory, 'site.pem');
  const contentOf = (leaf: Leaf) => leaf.keyPem + leaf.chainPem;
  await writeFile(file, contentOf(await authority.issue()));
  const { swivel, door } = await serve(t, directory, authority);
  const ways: Record<string, (content: string) => Promise<void>> = {
    'vim: the old file becomes the backup, a new one is written, the backup goes': async (content) => {
      await rename(file, `${file}~`);
      await writeFile(file, content);
      await rm(`${file}~`);
    },
    'emacs: a copy is the backup, the file is written in place': async (content) => {
      await copyFile(file, `${file}~`);
      await writeFile(file, content);
    },
    'a temporary file beside it is renamed over it': async (content) => {
      await writeFile(join(directory, '.site.pem.swp'), content);
      await rename(join(directory, '.site.pem.swp'), file);
    },
    'it is deleted and written again': async (content) => {
      await rm(file);
      await writeFile(file, content);
    },
    'with Windows line ends': (content) => writeFile(file, content.replaceAll('\n', '\r\n')),
  };
  for (const [way, write] of Object.entries(ways)) {
    await t.test(way, async () => {
      const next = await authority.issue();
      await write(contentOf(next));
      await swivel.process.line(isRotationTo(next));
      assert.equal(await shownTo(door, 'localhost'), next.fingerprint256);
      const { certificates } = await swivel.status();
      assert.deepEqual(
        certificates.map(({ id, state }) => [id, state]),
        [['site', 'serving']],
      );
    });
  }
});
