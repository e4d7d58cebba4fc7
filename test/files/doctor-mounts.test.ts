import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, mkdir, realpath, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import type { Finding } from '../../src/errors.ts';
import type { ExamineOptions } from '../../src/files/index.ts';
import { temporaryDirectory } from '../support/files.ts';
import { cannotUnshare } from './support/namespaces.ts';
import { moduleOf } from './support/unprivileged.ts';

const skip = cannotUnshare('-rm', 'mount -t tmpfs none /mnt');
const skipOverlay = cannotUnshare(
  '-rm',
  'd=$(mktemp -d); mount -t tmpfs none $d; cd $d; mkdir a b c d; mount -t overlay -o lowerdir=a,upperdir=b,workdir=c none d',
);
const needsFuse = 'command -v bindfs mountpoint; test -w /dev/fuse; test "$(id -u)" = 0';
const skipFuse = cannotUnshare('-m', needsFuse);

async function place(t: TestContext, directories: readonly string[], files: readonly string[] = []): Promise<string> {
  const root = await realpath(await temporaryDirectory(t));
  await chmod(root, 0o755);
  for (const name of directories) await mkdir(join(root, name), { recursive: true });
  for (const name of files) await writeFile(join(root, name), name, { mode: 0o600 });
  return root;
}

/**
 * Findings for each list of paths, in a mount namespace of their own, with the place left out of their messages.
 * @param script shell commands that mount, in the place, and run `"$@"`
 */
async function inNamespace(
  root: string,
  script: string,
  paths: readonly (readonly string[])[],
  options: ExamineOptions,
  flags = '-rm',
): Promise<string[][]> {
  const lists = paths.map((list) => list.map((path) => join(root, path)));
  // However busy the machine is.
  const patient = JSON.stringify({ timeLimit: 30_000, ...options });
  const module = `
    import { examineMounts } from ${moduleOf('files/index.ts')};
    const answers = [];
    for (const paths of ${JSON.stringify(lists)}) answers.push(await examineMounts(paths, ${patient}));
    console.log(JSON.stringify(answers));
  `;
  const command = ['--propagation', 'private', 'sh', '-ec', `cd "$0"; ${script}`, root];
  const program = [process.execPath, '--input-type=module', '--eval', module];
  const { stdout } = await promisify(execFile)('unshare', [flags, ...command, ...program], { timeout: 60_000 });
  return (JSON.parse(stdout) as Finding[][]).map((found) =>
    found
      // What this machine allows is another matter.
      .filter(({ code }) => code !== 'INOTIFY_LIMIT')
      .map(
        ({ code, message }) => `${code} ${message.replaceAll(`${root}/`, '').replace('type fuse.bindfs', 'type fuse')}`,
      ),
  );
}

test('files that are mounted by themselves are found at and below a path, and directories are none', {
  skip,
}, async (t) => {
  const root = await place(
    t,
    ['from', 'certs/sub', 'certs-too'],
    ['from/a', 'from/b', 'from/new', 'certs/a b.crt', 'certs/old.crt', 'certs/plain.crt', 'certs-too/b.crt'],
  );
  await symlink('certs-too', join(root, 'by-link'));
  const script = `
    mount --bind from/a 'certs/a b.crt'
    mount --bind from/b certs/old.crt
    mv from/new from/b
    mount --bind from/a certs-too/b.crt
    mount --bind from certs/sub
    exec "$@"`;
  const options = { watching: true };
  assert.deepEqual(await inNamespace(root, script, [['certs'], ['certs-too/b.crt'], ['by-link'], ['from']], options), [
    [
      'MOUNT_SINGLE_FILE certs/a b.crt is mounted by itself',
      'MOUNT_SINGLE_FILE certs/old.crt is mounted by itself, and what it shows has been replaced or removed since',
    ],
    ['MOUNT_SINGLE_FILE certs-too/b.crt is mounted by itself'],
    ['MOUNT_SINGLE_FILE certs-too/b.crt is mounted by itself'],
    [],
  ]);
});

test('a Secret that is mounted with subPath is called by its name', { skip }, async (t) => {
  const stamp = '..2026_11_21_10_11_12.123456789';
  const root = await place(t, ['secret', 'certs'], ['certs/tls.crt']);
  const script = `
    mount -t tmpfs none secret
    mkdir secret/${stamp}
    echo x > secret/${stamp}/tls.crt
    mount --bind secret/${stamp}/tls.crt certs/tls.crt
    umount -l secret
    exec "$@"`;
  assert.deepEqual(await inNamespace(root, script, [['certs']], { watching: false }), [
    ['MOUNT_SINGLE_FILE certs/tls.crt is a Kubernetes volume mounted with subPath'],
  ]);
});

test('links into another mount are told, and those that stay on theirs are not', { skip }, async (t) => {
  // certbot in a container: live and archive mounted one by one, or all of it.
  const root = await place(
    t,
    ['le/live/a', 'le/archive/a', 'one/live', 'one/archive', 'all'],
    ['le/archive/a/cert1.pem'],
  );
  for (const name of ['cert', 'fullchain']) {
    await symlink('../../archive/a/cert1.pem', join(root, `le/live/a/${name}.pem`));
  }
  await symlink('one/live/a/cert.pem', join(root, 'named.pem'));
  const script = `
    mount --bind le/live one/live
    mount --bind le/archive one/archive
    mount --bind le all
    exec "$@"`;
  const paths = [['one/live'], ['all/live'], ['all/live/a/cert.pem'], ['one'], ['named.pem']];
  assert.deepEqual(await inNamespace(root, script, paths, { watching: true }), [
    [
      'LINK_LEAVES_MOUNT one/live/a/cert.pem leads to one/archive/a/cert1.pem, which is on another mount (one/archive) than one/live (and 1 more in one/live/a)',
    ],
    [],
    [],
    [],
    [],
  ]);
});

test('an overlay hears nothing of its lower layers, unless nobody watches', { skip: skipOverlay }, async (t) => {
  const root = await place(t, ['box']);
  const script = `
    mount -t tmpfs none box
    cd box
    mkdir -p lower/certs upper work merged part
    mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work none merged
    mount --bind merged/certs part
    exec "$@"`;
  const paths = [['box/merged/certs'], ['box/merged'], ['box/part']];
  const finding = (path: string, where: string) =>
    `MOUNT_WITHOUT_EVENTS ${path} is on a file system of type overlay${where}, which tells nothing of changes made in its lower layers`;
  assert.deepEqual(await inNamespace(root, script, paths, { watching: true }), [
    [finding('box/merged/certs', ', mounted at box/merged')],
    [finding('box/merged', '')],
    [],
  ]);
  assert.deepEqual(await inNamespace(root, script, paths, { watching: false }), [[], [], []]);
});

const mountFuse = `
  bindfs -f from certs & daemon=$!
  until mountpoint -q certs; do sleep 0.02; done`;
const unmountFuse = `
  kill -CONT $daemon
  umount certs
  wait $daemon || true`;

test('FUSE is told, and looked at like any other', { skip: skipFuse }, async (t) => {
  const root = await place(t, ['from', 'certs'], ['from/tls.crt']);
  await symlink('nowhere', join(root, 'from/a.crt'));
  const script = `${mountFuse}\n"$@"\n${unmountFuse}`;
  assert.deepEqual(await inNamespace(root, script, [['certs']], { watching: true, answerLimit: 20_000 }, '-m'), [
    [
      'MOUNT_WITHOUT_EVENTS certs is on a file system of type fuse, which tells nothing of changes made elsewhere',
      'LINK_DANGLING certs/a.crt leads to nowhere, and certs/nowhere does not exist here',
    ],
  ]);
});

test('a file system that does not answer is left alone, and the others are looked at', {
  skip: skipFuse,
}, async (t) => {
  const root = await place(t, ['from', 'certs', 'well', 'around'], ['from/tls.crt']);
  await symlink('nowhere.crt', join(root, 'well/a.crt'));
  await symlink(join(root, 'certs/tls.crt'), join(root, 'well/b.crt'));
  const script = `${mountFuse}
    kill -STOP $daemon
    "$@" || failed=$?
    ${unmountFuse}
    exit \${failed:-0}`;
  const options = { watching: true, answerLimit: 500 };
  const paths = [['certs', 'well'], ['certs/tls.crt']];
  const silent = (path: string, where: string) =>
    `MOUNT_WITHOUT_EVENTS ${path} is on a file system of type fuse${where}, which tells nothing of changes made elsewhere, and it did not answer in time`;
  assert.deepEqual(await inNamespace(root, script, paths, options, '-m'), [
    [
      silent('certs', ''),
      'LINK_DANGLING well/a.crt leads to nowhere.crt, and well/nowhere.crt does not exist here',
      'LINK_LEAVES_MOUNT well/b.crt leads to certs/tls.crt, which is on another mount (certs) than well',
    ],
    [silent('certs/tls.crt', ', mounted at certs')],
  ]);
});

test('too few inotify watches are told, and only where they are used', { skip: cannotUnshare('-Ur') }, async (t) => {
  const root = await place(t, ['certs/a', 'certs/b', 'certs/.hidden', 'elsewhere'], ['elsewhere/tls.crt']);
  await symlink('../elsewhere/tls.crt', join(root, 'certs/tls.crt'));
  await symlink('certs', join(root, 'by-link'));
  const module = `
    import { examineMounts } from ${moduleOf('files/index.ts')};
    const messages = async (name, watching) =>
      (await examineMounts([${JSON.stringify(root)} + name], { watching })).map(({ message }) => message);
    console.log(JSON.stringify([await messages('/certs', true), await messages('/by-link', true), await messages('/certs', false)]));
  `;
  const limit =
    'echo 7 > /proc/sys/user/max_inotify_watches; echo 100 > /proc/sys/user/max_inotify_instances; exec "$@"';
  const program = [process.execPath, '--input-type=module', '--eval', module];
  const { stdout } = await promisify(execFile)('unshare', ['-Ur', 'sh', '-ec', limit, 'sh', ...program]);
  assert.deepEqual(JSON.parse(stdout), [
    ['4 directories of certificates are to be watched, and the system allows the user 7 watches'],
    // And the one in which the link stands.
    ['5 directories of certificates are to be watched, and the system allows the user 7 watches'],
    [],
  ]);
});
