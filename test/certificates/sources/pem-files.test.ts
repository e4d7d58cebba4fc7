import assert from 'node:assert/strict';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, type TestContext, test } from 'node:test';
import { inspect } from 'node:util';
import { PemFilesSource, validate } from '../../../src/certificates/index.ts';
import { temporaryDirectory } from '../../support/files.ts';
import { createAuthority, type Leaf } from '../../support/pki.ts';
import { codesOf } from '../support/material.ts';

const passphrase = 'correct horse';
let leaf: Leaf;

before(async () => {
  leaf = await (await createAuthority()).issue({ names: ['a.test'] });
});

/** Certificate, encrypted key and passphrase, each in a directory of its own. */
async function files(t: TestContext) {
  const root = await temporaryDirectory(t);
  for (const name of ['certs', 'keys', 'passphrases']) await mkdir(join(root, name));
  const cert = join(root, 'certs', 'a.test.crt');
  const key = join(root, 'keys', 'some.key');
  const passphraseFile = join(root, 'passphrases', 'some');
  await writeFile(cert, leaf.chainPem);
  await writeFile(key, leaf.encryptedKeyPem(passphrase));
  await writeFile(passphraseFile, `${passphrase}\n`);
  return { root, cert, key, passphraseFile };
}

const loaded = (source: PemFilesSource) => source.load({ thorough: false });

test('an identity of three files in three directories', async (t) => {
  const { root, ...options } = await files(t);
  const source = new PemFilesSource(options);
  const { identities, findings, watch } = await loaded(source);
  assert.deepEqual(findings, []);
  assert.equal(source.id, options.cert);
  const [one] = identities;
  assert.ok(one);
  assert.equal(one.id, 'a.test');
  assert.deepEqual(one.files, { certificate: options.cert, key: options.key });
  const validation = validate(one);
  assert.deepEqual(validation.findings, []);
  assert.deepEqual(validation.identity?.names, ['a.test']);
  for (const targets of [source.watch, watch]) {
    const watched = new Set(targets.map(({ directory }) => directory));
    for (const name of ['certs', 'keys', 'passphrases']) assert.ok(watched.has(join(root, name)));
    assert.equal(watched.size, targets.length);
  }
});

test('names that are given replace those of the certificate', async (t) => {
  const { cert, key, passphraseFile } = await files(t);
  const { identities } = await loaded(new PemFilesSource({ cert, key, passphraseFile, names: ['B.test'] }));
  assert.deepEqual(
    identities.map((one) => validate(one).identity?.names),
    [['b.test']],
  );
});

test('an encrypted key without a passphrase file', async (t) => {
  const { cert, key } = await files(t);
  const { identities } = await loaded(new PemFilesSource({ cert, key }));
  assert.deepEqual(
    identities.map((one) => codesOf(validate(one).findings)),
    [['KEY_PASSPHRASE_MISSING error']],
  );
});

for (const missing of ['cert', 'key', 'passphraseFile'] as const) {
  test(`${missing} that is not there, or a directory, is a finding that names it`, async (t) => {
    const { root: _, ...options } = await files(t);
    const path = options[missing];
    const source = new PemFilesSource(options);
    const expectOnly = async (code: string) => {
      const { identities, findings, watch } = await loaded(source);
      assert.deepEqual(identities, []);
      assert.deepEqual(
        findings.map((finding) => [finding.code, finding.severity, finding.file, finding.identity]),
        [[code, 'error', path, 'a.test']],
      );
      assert.ok(findings[0]?.message.includes(path));
      assert.ok(watch.length > 0);
    };
    await rm(path);
    await expectOnly('SOURCE_MISSING');
    await mkdir(path);
    await expectOnly('FILE_NOT_REGULAR');
    await writeFile(join(path, 'inner.pem'), leaf.chainPem + leaf.keyPem);
    await expectOnly('FILE_NOT_REGULAR');
  });
}

test('what it hands on shows no key, also when it shares a file with the certificate', async (t) => {
  const { cert } = await files(t);
  await writeFile(cert, leaf.keyPem + leaf.chainPem);
  const material = await loaded(new PemFilesSource({ cert, key: cert }));
  assert.deepEqual(
    material.identities.map((one) => validate(one).findings),
    [[]],
  );
  const shown = inspect(material, { depth: null, maxStringLength: null }) + JSON.stringify(material);
  assert.ok(!shown.includes(leaf.keyPem.split('\n')[1] ?? ''));
});
