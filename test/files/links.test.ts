import assert from 'node:assert/strict';
import { mkdir, realpath, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { linkDirectories } from '../../src/files/links.ts';
import { CertbotLive, KubernetesVolume, temporaryDirectory } from '../support/files.ts';
import { createAuthority } from '../support/pki.ts';

async function place(t: TestContext): Promise<string> {
  return realpath(await temporaryDirectory(t));
}

describe('the directories whose entries decide where a path leads', () => {
  test('are none for a path without links', async (t) => {
    const root = await place(t);
    await mkdir(join(root, 'certs'));
    await writeFile(join(root, 'certs', 'tls.crt'), '');
    assert.deepEqual(await linkDirectories(join(root, 'certs', 'tls.crt')), []);
    assert.deepEqual(await linkDirectories(join(root, 'nothing', 'here')), []);
  });

  test('are those of each link on the way, and the one at the end', async (t) => {
    const root = await place(t);
    for (const name of ['a', 'b', 'c']) await mkdir(join(root, name));
    await writeFile(join(root, 'c', 'file'), '');
    await symlink('../b/second', join(root, 'a', 'first'));
    await symlink(join(root, 'c', 'file'), join(root, 'b', 'second'));
    const found = await linkDirectories(join(root, 'a', 'first'));
    assert.deepEqual(
      found.sort(),
      ['a', 'b', 'c'].map((name) => join(root, name)),
    );
  });

  test('include that of a linked directory in the middle of the path', async (t) => {
    const root = await place(t);
    await mkdir(join(root, 'real'));
    await writeFile(join(root, 'real', 'file'), '');
    await symlink('real', join(root, 'link'));
    assert.deepEqual(await linkDirectories(join(root, 'link', 'file')), [root, join(root, 'real')]);
  });

  test('follow certbot from live into archive', async (t) => {
    const root = await place(t);
    const live = new CertbotLive(root, 'app');
    await live.renew(await (await createAuthority()).issue());
    const found = await linkDirectories(join(live.directory, 'privkey.pem'));
    assert.deepEqual(found, [live.directory, join(root, 'archive', 'app')]);
  });

  test('end at the link that Kubernetes swaps: what stands below never changes', async (t) => {
    const root = await place(t);
    await new KubernetesVolume(root).update({ 'tls.crt': 'x' });
    assert.deepEqual(await linkDirectories(join(root, 'tls.crt')), [root]);
  });

  test('are found for a link that leads nowhere, so that its target is noticed when it comes', async (t) => {
    const root = await place(t);
    await mkdir(join(root, 'a'));
    await symlink(join(root, 'later', 'file'), join(root, 'a', 'link'));
    assert.deepEqual(await linkDirectories(join(root, 'a', 'link')), [join(root, 'a'), join(root, 'later')]);
  });

  test('do not go round in a circle of links for ever', { timeout: 5_000 }, async (t) => {
    const root = await place(t);
    await symlink('b', join(root, 'a'));
    await symlink('a', join(root, 'b'));
    await symlink('self/self', join(root, 'self'));
    assert.deepEqual(await linkDirectories(join(root, 'a')), [root]);
    assert.deepEqual(await linkDirectories(join(root, 'self')), [root]);
  });
});
