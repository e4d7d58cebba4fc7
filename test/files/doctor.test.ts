import assert from 'node:assert/strict';
import { chmod, link, mkdir, realpath, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { type ExamineOptions, examineMounts } from '../../src/files/index.ts';
import { KubernetesVolume, temporaryDirectory } from '../support/files.ts';

const keyPem = '-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n';

/** A directory that every user can look into. */
async function place(t: TestContext, ...directories: readonly string[]): Promise<string> {
  const root = await realpath(await temporaryDirectory(t));
  await chmod(root, 0o755);
  for (const name of directories) await mkdir(join(root, name), { recursive: true });
  return root;
}

/** Findings as `CODE message`, with the place left out; what the machine is like does not count. */
async function diagnose(root: string, paths: readonly string[], options: Partial<ExamineOptions> = {}) {
  const found = await examineMounts(
    paths.map((path) => join(root, path)),
    // However busy the machine is.
    { watching: false, timeLimit: 30_000, ...options },
  );
  for (const { severity } of found) assert.equal(severity, 'warning');
  return found.map(({ code, message }) => `${code} ${message.replaceAll(`${root}/`, '')}`);
}

async function write(root: string, files: Readonly<Record<string, string>>, mode = 0o600): Promise<void> {
  for (const [name, text] of Object.entries(files)) {
    await writeFile(join(root, name), text);
    await chmod(join(root, name), mode);
  }
}

describe('links', () => {
  test('that lead to what is not there are named with what is missing, for each directory', async (t) => {
    // certbot's live without its archive: what one gets who mounts live only.
    const root = await place(t, 'live/a', 'live/b', 'archive');
    for (const name of ['cert', 'chain', 'fullchain', 'privkey']) {
      await symlink(`../../archive/a/${name}1.pem`, join(root, `live/a/${name}.pem`));
    }
    await symlink('nowhere.crt', join(root, 'live/b/tls.crt'));
    assert.deepEqual(await diagnose(root, ['live']), [
      'LINK_DANGLING live/a/cert.pem leads to ../../archive/a/cert1.pem, and archive/a does not exist here (and 3 more in live/a)',
      'LINK_DANGLING live/b/tls.crt leads to nowhere.crt, and live/b/nowhere.crt does not exist here',
    ]);
    const [first] = await examineMounts([join(root, 'live')], { watching: false });
    assert.equal(first?.file, join(root, 'live/a/cert.pem'));
  });

  test('that lead to nothing do not matter under names that are not wanted, or hidden', async (t) => {
    const root = await place(t, 'certs/.hidden');
    for (const name of ['README', '.old.crt', '..tmp.crt', '.hidden/a.crt']) {
      await symlink('nowhere', join(root, 'certs', name));
    }
    assert.deepEqual(await diagnose(root, ['certs']), []);
  });

  test('that lead in a circle are told', async (t) => {
    const root = await place(t, 'certs');
    await symlink('b.crt', join(root, 'certs/a.crt'));
    await symlink('a.crt', join(root, 'certs/b.crt'));
    assert.deepEqual(await diagnose(root, ['certs']), [
      'LINK_DANGLING certs/a.crt leads to b.crt, and that in a circle (and 1 more in certs)',
    ]);
  });

  test('at the configured path itself are told, and a path that just does not exist is not one of them', async (t) => {
    const root = await place(t, 'real');
    await symlink('../elsewhere/certs', join(root, 'certs'));
    await symlink('real', join(root, 'good'));
    assert.deepEqual(await diagnose(root, ['certs', 'good/missing/tls.crt', 'missing']), [
      `LINK_DANGLING certs leads to ../elsewhere/certs, and ${join(root, '../elsewhere')} does not exist here`,
    ]);
  });

  test('of a Kubernetes volume are told as one when its data is gone, and by name when one file is', async (t) => {
    const root = await place(t);
    const volume = new KubernetesVolume(join(root, 'certs'));
    await volume.update({ 'tls.crt': 'x', 'tls.key': keyPem });
    await chmod(join(root, 'certs/..data/tls.key'), 0o400);
    assert.deepEqual(await diagnose(root, ['certs']), []);
    await rm(join(root, 'certs/..data/tls.crt'));
    const data = await realpath(join(root, 'certs/..data'));
    const gone = data.slice(root.length + 1);
    assert.deepEqual(await diagnose(root, ['certs']), [
      `LINK_DANGLING certs/tls.crt leads to ..data/tls.crt, and ${gone}/tls.crt does not exist here`,
    ]);
    await rm(data, { recursive: true });
    assert.deepEqual(await diagnose(root, ['certs']), [
      `LINK_DANGLING certs/..data leads to ${gone.slice('certs/'.length)}, and ${gone} does not exist here`,
    ]);
  });

  test('on one mount may lead where they like, also by way of links and of .. behind a link', async (t) => {
    const root = await place(t, 'certs', 'deep/archive/x', 'deep/other');
    await write(root, { 'deep/other/tls.crt': 'x' });
    await symlink('../deep/archive/x', join(root, 'certs/by'));
    await symlink('by/../../other/tls.crt', join(root, 'certs/tls.crt'));
    await symlink(join(root, 'certs/tls.crt'), join(root, 'certs/absolute.crt'));
    assert.deepEqual(await diagnose(root, ['certs']), []);
  });
});

describe('private keys', () => {
  test('that every user can read are counted by directory, by their names and by what they hold', async (t) => {
    const root = await place(t, 'certs/many');
    await write(root, { 'certs/a.pem': `certificate\n${keyPem}`, 'certs/only.crt': 'certificate' }, 0o644);
    await write(root, { 'certs/many/a.key': 'DER', 'certs/many/b.p12': 'x', 'certs/many/c.pfx': 'x' }, 0o604);
    await write(root, { 'certs/kept.key': keyPem, 'certs/group.key': keyPem }, 0o640);
    await write(root, { 'certs/far.pem': `${' '.repeat(70_000)}${keyPem}`, 'certs/tls.pass': 'x' }, 0o644);
    assert.deepEqual(await diagnose(root, ['certs', 'certs/a.pem']), [
      'KEY_EXPOSED the private key certs/a.pem can be read by every user (mode 0644)',
      'KEY_EXPOSED 3 private keys in certs/many can be read by every user, certs/many/a.key (mode 0604) among them',
    ]);
  });

  test('are hidden by any directory above that lets nobody through', async (t) => {
    const root = await place(t, 'outer/certs');
    await write(root, { 'outer/certs/tls.key': keyPem }, 0o644);
    assert.equal((await diagnose(root, ['outer/certs'])).length, 1);
    await chmod(join(root, 'outer'), 0o750);
    assert.deepEqual(await diagnose(root, ['outer/certs']), []);
    // A link does not open what it leads to.
    await symlink('outer/certs', join(root, 'certs'));
    assert.deepEqual(await diagnose(root, ['certs']), []);
  });

  test('of a Kubernetes volume are told with the mode to give it', async (t) => {
    const root = await place(t);
    const volume = new KubernetesVolume(join(root, 'certs'));
    await volume.update({ 'tls.crt': 'x', 'tls.key': keyPem });
    await chmod(join(root, 'certs/..data/tls.key'), 0o644);
    await chmod(await realpath(join(root, 'certs/..data')), 0o755);
    await chmod(join(root, 'certs'), 0o755);
    assert.deepEqual(await diagnose(root, ['certs']), [
      'KEY_EXPOSED the private key certs/tls.key can be read by every user (mode 0644); its volume is mounted without defaultMode: 0400',
    ]);
  });

  test('never show in what is said of them', async (t) => {
    const root = await place(t, 'certs');
    await write(root, { 'certs/tls.pem': keyPem.replace('AA==', 'c2VjcmV0') }, 0o644);
    const found = await examineMounts([join(root, 'certs')], { watching: true });
    assert.ok(found.length > 0);
    assert.ok(!JSON.stringify(found).includes('c2VjcmV0'));
  });
});

test('a certificate that was written before it begins tells of a slow clock', async (t) => {
  const root = await place(t, 'certs');
  await write(root, { 'certs/1.crt': 'x' });
  await symlink('1.crt', join(root, 'certs/tls.crt'));
  const now = Date.UTC(2026, 0, 1);
  await utimes(join(root, 'certs/1.crt'), now / 1000, now / 1000);
  const file = join(root, 'certs/tls.crt');
  const certificates = [
    { file, notBefore: now + 60_000 },
    { file: join(root, 'certs/gone.crt'), notBefore: now + 60_000 },
  ];
  assert.deepEqual(await diagnose(root, ['certs'], { certificates, now }), [
    'CLOCK_SKEW certs/tls.crt was written 60 s before its certificate is valid (from 2026-01-01T00:01:00.000Z): the clock of this machine may be slow',
  ]);
  assert.deepEqual(await diagnose(root, ['certs'], { certificates, now: now + 61_000 }), []);
});

describe('looking', () => {
  test('ends at the number of entries that is set, and judges what it saw', async (t) => {
    const root = await place(t, 'certs');
    for (const name of ['a.key', 'b.key', 'c.key', 'd.key']) await write(root, { [`certs/${name}`]: 'x' }, 0o644);
    const found = await diagnose(root, ['certs'], { entryLimit: 3 });
    assert.match(found.join(), /^KEY_EXPOSED 3 private keys/);
  });

  test('ends when its time is over', async (t) => {
    const root = await place(t, 'certs');
    for (let i = 0; i < 50; i += 1) await symlink('nowhere', join(root, `certs/${i}.crt`));
    const [found = ''] = await diagnose(root, ['certs'], { timeLimit: 0 });
    assert.ok(!found.includes('49 more'), found);
  });

  test('goes round no circle of directories, and sees nothing twice', async (t) => {
    const root = await place(t, 'certs/sub');
    await symlink('..', join(root, 'certs/sub/up'));
    await write(root, { 'certs/sub/tls.key': 'x' }, 0o644);
    await link(join(root, 'certs/sub/tls.key'), join(root, 'certs/tls.key'));
    assert.equal((await diagnose(root, ['certs', 'certs', 'certs/sub'])).length, 2);
  });

  test('finds nothing, and does not fail, where there is nothing or something odd', async (t) => {
    const root = await place(t, 'certs/odd.key');
    assert.deepEqual(await diagnose(root, ['missing', 'certs', 'certs/odd.key/x', 'certs/\u0000']), []);
    assert.deepEqual(await examineMounts([], { watching: false }), []);
  });
});
