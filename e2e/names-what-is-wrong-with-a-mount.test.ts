import assert from 'node:assert/strict';
import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { catalogue, type ErrorCode } from '../src/errors.ts';
import { CertbotLive, KubernetesVolume, temporaryDirectory, writePair } from '../test/support/files.ts';
import { createAuthority } from '../test/support/pki.ts';
import { shownTo } from './support/clients.ts';
import { canDo } from './support/machine.ts';
import { bounded, runSwivel, startSwivel } from './support/swivel.ts';

const upstream = 'http://127.0.0.1:9';

interface Told {
  readonly code: ErrorCode;
  readonly message: string;
  readonly remedy: string;
  readonly file?: string;
}

/** Runs a command after a shell script, in a mount namespace of its own; null where that cannot be. */
function mounted(t: TestContext, script: string): readonly string[] | null {
  const flags = process.getuid?.() === 0 ? ['-m'] : ['-Urm'];
  const own = ['unshare', ...flags, '--propagation', 'private', 'sh', '-ec'];
  if (!canDo(t, 'a mount namespace', [...own, 'mount -t tmpfs none /mnt'])) return null;
  return [...own, `${script}\nexec "$@"`, 'sh'];
}

/** What `check` warns of (codes in order), after a look at whether text and JSON agree on it. */
async function checked(certs: string, wrap: readonly string[], exitCode: number): Promise<readonly Told[]> {
  const args = ['check', '--certs', certs, '--upstream', upstream];
  const [text, json] = await Promise.all([runSwivel(args, { wrap }), runSwivel([...args, '--json'], { wrap })]);
  assert.equal(text.code, exitCode, text.stdout + text.stderr);
  assert.equal(json.code, exitCode, json.stderr);
  const { warnings } = JSON.parse(json.stdout) as { warnings: readonly Told[] };
  // What the machine allows of inotify is another matter.
  const told = warnings.filter(({ code }) => code !== 'INOTIFY_LIMIT');
  for (const { code, message, remedy } of told) {
    assert.equal(remedy, catalogue[code].remedy);
    const line = text.stdout.split('\n').find((one) => one.startsWith(`warning: ${code}: ${message}`));
    assert.ok(line?.endsWith(`; ${remedy}`), text.stdout);
  }
  return told;
}

async function place(t: TestContext, ...directories: readonly string[]): Promise<string> {
  const root = await temporaryDirectory(t);
  for (const name of directories) await mkdir(join(root, name), { recursive: true });
  return root;
}

test('a certificate that is mounted by itself is told by check and at start, and served', bounded, async (t) => {
  const root = await place(t, 'host', 'certs');
  const authority = await createAuthority();
  const leaf = await authority.issue();
  await writePair(join(root, 'host'), 'tls', leaf);
  const wrap = mounted(
    t,
    `cd ${root}
     for name in tls.crt tls.key; do touch certs/$name; mount --bind host/$name certs/$name; done`,
  );
  if (!wrap) return;
  const certs = join(root, 'certs');
  const told = await checked(certs, wrap, 0);
  assert.deepEqual(
    told.map(({ code, file, message }) => [code, file, message]),
    ['tls.crt', 'tls.key'].map((name) => {
      const file = join(certs, name);
      return ['MOUNT_SINGLE_FILE', file, `${file} is mounted by itself`];
    }),
  );
  const swivel = await startSwivel(t, { certs, upstream, wrap });
  const line = await swivel.process.line(({ code }) => code === 'MOUNT_SINGLE_FILE');
  assert.deepEqual(
    [line['level'], line['file'], line['remedy']],
    ['warn', join(certs, 'tls.crt'), catalogue.MOUNT_SINGLE_FILE.remedy],
  );
  assert.equal(
    await shownTo({ port: swivel.port, ca: authority.certificatePem }, 'localhost'),
    leaf.fingerprint256,
    'a warning keeps nothing from being served',
  );
});

test(
  "certbot's live directory without its archive is told by the first link and what is missing",
  bounded,
  async (t) => {
    const root = await place(t, 'mnt');
    const lineage = new CertbotLive(join(root, 'letsencrypt'), 'localhost');
    await lineage.renew(await (await createAuthority()).issue());
    const wrap = mounted(t, `mount --bind ${root}/letsencrypt/live ${root}/mnt`);
    if (!wrap) return;
    const told = await checked(join(root, 'mnt'), wrap, 3);
    const link = join(root, 'mnt/localhost/cert.pem');
    assert.deepEqual(
      told.map(({ code, file, message }) => [code, file, message]),
      [
        [
          'LINK_DANGLING',
          link,
          `${link} leads to ../../archive/localhost/cert1.pem, and ${root}/archive does not exist here (and 3 more in ${root}/mnt/localhost)`,
        ],
      ],
    );
    assert.deepEqual(await checked(lineage.directory, [], 0), [], 'with all of it there, all is well');
  },
);

test('a file system without events is told by check and at start, and not to one that polls', bounded, async (t) => {
  const root = await place(t, 'certs');
  const volume = new KubernetesVolume(join(root, 'volume'));
  await volume.updateLeaf(await (await createAuthority()).issue());
  const wrap = mounted(
    t,
    `mount -t tmpfs none ${root}/certs
     cd ${root}/certs
     mkdir upper work merged
     cp -a ${root}/volume lower
     mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work none merged`,
  );
  if (!wrap || !canDo(t, 'an overlay', [...wrap, 'true'])) return;
  const certs = join(root, 'certs/merged');
  const message = `${certs} is on a file system of type overlay, which tells nothing of changes made in its lower layers`;
  assert.deepEqual(
    (await checked(certs, wrap, 0)).map(({ code, file, message }) => [code, file, message]),
    [['MOUNT_WITHOUT_EVENTS', certs, message]],
  );
  const swivel = await startSwivel(t, { certs, upstream, wrap });
  const line = await swivel.process.line(({ code }) => code === 'MOUNT_WITHOUT_EVENTS');
  assert.deepEqual([line['level'], line.msg, line['file']], ['warn', message, certs]);
  const polling = await startSwivel(t, { certs, upstream, wrap, config: { watch: { mode: 'poll' } } });
  assert.ok(!polling.process.lines.some(({ code }) => code === 'MOUNT_WITHOUT_EVENTS'));
});

test('a key that every user can read is told at start, by what to set in Kubernetes', bounded, async (t) => {
  const root = await place(t);
  const volume = new KubernetesVolume(join(root, 'certs'));
  await volume.updateLeaf(await (await createAuthority()).issue());
  await chmod(join(root, 'certs/..data/tls.key'), 0o644);
  await Promise.all(['', 'certs', 'certs/..data'].map((name) => chmod(join(root, name), 0o755)));
  const swivel = await startSwivel(t, { certs: volume.directory, upstream });
  const line = await swivel.process.line(({ code }) => code === 'KEY_EXPOSED');
  const file = join(root, 'certs/tls.key');
  assert.deepEqual(
    [line['level'], line['file'], line.msg],
    [
      'warn',
      file,
      `the private key ${file} can be read by every user (mode 0644); its volume is mounted without defaultMode: 0400`,
    ],
  );
});
