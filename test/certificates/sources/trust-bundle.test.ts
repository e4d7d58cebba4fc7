import assert from 'node:assert/strict';
import { mkdir, realpath, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, isAbsolute, join } from 'node:path';
import { before, describe, type TestContext, test } from 'node:test';
import { type TrustBundle, TrustBundleSource, validateBundle, verifyClient } from '../../../src/certificates/index.ts';
import type { Finding } from '../../../src/errors.ts';
import { ThreadedReader, type ThreadedRequest } from '../../../src/files/index.ts';
import { KubernetesVolume, temporaryDirectory, writeAtomically } from '../../support/files.ts';
import { type Authority, createAuthority, type Leaf } from '../../support/pki.ts';
import { truncated } from '../support/material.ts';
import { bundleOf, derOf, issueClient } from '../trust/support/bundle.ts';

let root: Authority;
let other: Authority;
let client: Leaf;
/** A CRL of the root that names nobody, and one that names the client. */
let crls: { readonly empty: string; readonly full: string };

before(async () => {
  root = await createAuthority();
  other = await createAuthority();
  client = await issueClient(root);
  crls = { empty: await root.crl([]), full: await root.crl([client]) };
});

interface Loaded {
  readonly bundle: TrustBundle | null;
  readonly findings: readonly Finding[];
  readonly files: readonly string[];
}

async function load(source: TrustBundleSource, thorough = false): Promise<Loaded> {
  const { identities, bundles = [], findings, watch } = await source.load({ thorough });
  assert.deepEqual(identities, []);
  assert.ok(watch.length > 0 && watch.every(({ directory }) => isAbsolute(directory)));
  assert.ok(bundles.length <= 1);
  const [material] = bundles;
  if (!material) return { bundle: null, findings, files: [] };
  assert.deepEqual([material.id, material.source], ['clients', source.id]);
  const validation = validateBundle(material);
  const files = material.files.map(({ path }) => path);
  return { bundle: validation.bundle, findings: [...findings, ...validation.findings], files };
}

/** Loads what must be without fault, and equal to a bundle of these contents. */
async function holds(source: TrustBundleSource, ...contents: readonly string[]): Promise<Loaded> {
  const loaded = await load(source);
  assert.deepEqual(loaded.findings, []);
  assert.equal(loaded.bundle?.fingerprint, bundleOf(...contents).fingerprint);
  return loaded;
}

/** Loads what must be at fault in this one way. */
async function faulty(source: TrustBundleSource, code: string, file: string): Promise<void> {
  const { bundle, findings } = await load(source);
  assert.equal(bundle, null);
  assert.deepEqual(
    findings.map((one) => [one.code, one.severity, one.file, one.identity]),
    [[code, 'error', file, 'clients']],
  );
}

async function directory(t: TestContext): Promise<string> {
  return await realpath(await temporaryDirectory(t));
}

const sourceOf = (path: string) => new TrustBundleSource({ id: 'clients', path });

async function filled(t: TestContext, files: Readonly<Record<string, string | Buffer>>) {
  const path = await directory(t);
  for (const [name, content] of Object.entries(files)) {
    await mkdir(join(path, dirname(name)), { recursive: true });
    await writeFile(join(path, name), content);
  }
  return { path, at: (name: string) => join(path, name), source: sourceOf(path) };
}

test('the id of the source is the path as it was given, and it is watched from the start', () => {
  const source = sourceOf('./trust/');
  assert.equal(source.id, './trust/');
  assert.ok(source.watch.every((target) => isAbsolute(target.directory)));
});

describe('a file', () => {
  test('of any name is a bundle', async (t) => {
    const { at } = await filled(t, { authorities: root.certificatePem + crls.full, 'other.pem': other.certificatePem });
    const { files } = await holds(sourceOf(at('authorities')), root.certificatePem, crls.full);
    assert.deepEqual(files, [at('authorities')]);
  });

  test('that is missing is a finding, and gone once it is there', async (t) => {
    const { at } = await filled(t, {});
    const source = sourceOf(at('ca.pem'));
    await faulty(source, 'SOURCE_MISSING', at('ca.pem'));
    await writeFile(at('ca.pem'), root.certificatePem);
    await holds(source, root.certificatePem);
    await rm(at('ca.pem'));
    await faulty(source, 'SOURCE_MISSING', at('ca.pem'));
  });

  for (const [how, write] of [
    ['by rename', writeAtomically],
    ['in place', writeFile],
  ] as const) {
    test(`replaced ${how} is seen, also when only its CRL changed`, async (t) => {
      const { at } = await filled(t, { 'ca.pem': root.certificatePem });
      const source = sourceOf(at('ca.pem'));
      await holds(source, root.certificatePem);
      for (const crl of [crls.empty, crls.full]) {
        await write(at('ca.pem'), root.certificatePem + crl);
        await holds(source, root.certificatePem, crl);
      }
      await write(at('ca.pem'), other.certificatePem);
      await holds(source, other.certificatePem);
    });
  }
});

describe('a directory', () => {
  test('is a bundle of all its files that may be one, also those further down', async (t) => {
    const { source, at } = await filled(t, {
      'a.pem': root.certificatePem,
      'B.CRT': other.certificatePem,
      'crls/c.crl': crls.empty,
      'd.der': derOf(crls.full),
      'e.Cer': root.certificatePem,
      README: 'to whom it may concern',
      'notes.txt': 'text',
      '.hidden.pem': 'text',
      '.git/x.pem': 'text',
    });
    const { files } = await holds(source, root.certificatePem, other.certificatePem, crls.empty, crls.full);
    assert.deepEqual(files.toSorted(), ['B.CRT', 'a.pem', 'crls/c.crl', 'd.der', 'e.Cer'].map(at));
  });

  test('that is missing, or has nothing, is a finding', async (t) => {
    const { path, source } = await filled(t, { 'notes.txt': 'text' });
    await faulty(source, 'SOURCE_EMPTY', path);
    await faulty(sourceOf(join(path, 'absent')), 'SOURCE_MISSING', join(path, 'absent'));
  });

  test('follows files that come, change and go', async (t) => {
    const { source, at } = await filled(t, { 'a.pem': root.certificatePem });
    await holds(source, root.certificatePem);
    await writeFile(at('b.crl'), crls.full);
    const { bundle } = await holds(source, root.certificatePem, crls.full);
    assert.ok(bundle);
    assert.equal(verifyClient(bundle, [client.x509], Date.now()).ok, false);
    await writeAtomically(at('b.crl'), crls.empty);
    const later = await holds(source, root.certificatePem, crls.empty);
    assert.ok(later.bundle && verifyClient(later.bundle, [client.x509], Date.now()).ok);
    await rm(at('b.crl'));
    await holds(source, root.certificatePem);
    await rename(at('a.pem'), at('c.pem'));
    const { files } = await holds(source, root.certificatePem);
    assert.deepEqual(files, [at('c.pem')]);
  });

  test('with a damaged file is rejected by validation, and repaired with it', async (t) => {
    const { source, at } = await filled(t, { 'a.pem': root.certificatePem, 'b.crl': truncated(crls.full) });
    await faulty(source, 'TRUST_UNPARSABLE', at('b.crl'));
    await writeFile(at('b.crl'), crls.full);
    await holds(source, root.certificatePem, crls.full);
  });

  test('is not handed on without a file that cannot be used', async (t) => {
    const { source, at } = await filled(t, { 'a.pem': root.certificatePem, 'b.crl': crls.full });
    await holds(source, root.certificatePem, crls.full);
    await rm(at('b.crl'));
    await mkdir(at('b.crl'));
    await faulty(source, 'FILE_NOT_REGULAR', at('b.crl'));
    await rm(at('b.crl'), { recursive: true });
    await writeFile(at('b.crl'), Buffer.alloc(1024 * 1024 + 1));
    await faulty(source, 'FILE_TOO_LARGE', at('b.crl'));
    await writeFile(at('b.crl'), crls.full);
    await holds(source, root.certificatePem, crls.full);
  });

  test('is not handed on without a file whose link leads to nothing any more, until the link is gone too', async (t) => {
    const { source, path, at } = await filled(t, { 'a.pem': root.certificatePem });
    const elsewhere = await directory(t);
    await writeFile(join(elsewhere, 'b.crl'), crls.full);
    await symlink(join(elsewhere, 'b.crl'), join(path, 'b.crl'));
    await holds(source, root.certificatePem, crls.full);
    await rm(join(elsewhere, 'b.crl'));
    await faulty(source, 'LINK_DANGLING', at('b.crl'));
    await faulty(source, 'LINK_DANGLING', at('b.crl'));
    await faulty(new TrustBundleSource({ id: 'clients', path }), 'LINK_DANGLING', at('b.crl'));
    await rm(at('b.crl'));
    await holds(source, root.certificatePem);
  });

  test('keeps a file that a writer deletes, and has not created again yet', async (t) => {
    const { source, at } = await filled(t, { 'a.pem': root.certificatePem, 'b.crl': crls.full });
    await holds(source, root.certificatePem, crls.full);
    await rm(at('b.crl'));
    const { read } = ThreadedReader.prototype;
    t.mock.method(ThreadedReader.prototype, 'read', async function (this: ThreadedReader, request: ThreadedRequest) {
      const snapshot = await read.call(this, request);
      await writeFile(at('b.crl'), crls.full);
      return snapshot;
    });
    await holds(source, root.certificatePem, crls.full);
  });

  test('gives the same again when nothing changed, whether or not it is read thoroughly', async (t) => {
    const { source } = await filled(t, { 'a.pem': root.certificatePem, 'b.crl': crls.full });
    const one = await source.load({ thorough: false });
    assert.deepEqual(await source.load({ thorough: false }), one);
    assert.deepEqual(await source.load({ thorough: true }), one);
  });
});

test('a Kubernetes volume changes as a whole, and keeps its paths', async (t) => {
  const path = await directory(t);
  const volume = new KubernetesVolume(path);
  await volume.update({ 'ca.crt': root.certificatePem, 'ca.crl': crls.empty });
  const source = sourceOf(path);
  const { files } = await holds(source, root.certificatePem, crls.empty);
  assert.deepEqual(files.toSorted(), [join(path, 'ca.crl'), join(path, 'ca.crt')]);
  await volume.update({ 'ca.crt': root.certificatePem, 'ca.crl': crls.full });
  assert.deepEqual((await holds(source, root.certificatePem, crls.full)).files, files);
  await volume.update({ 'ca.crt': other.certificatePem });
  await holds(source, other.certificatePem);
  const single = sourceOf(join(path, 'ca.crt'));
  await holds(single, other.certificatePem);
  await volume.update({ 'ca.crt': root.certificatePem });
  await holds(single, root.certificatePem);
});
