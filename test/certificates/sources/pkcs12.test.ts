import assert from 'node:assert/strict';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, type TestContext, test } from 'node:test';
import { inspect } from 'node:util';
import { Pkcs12Source, validate } from '../../../src/certificates/index.ts';
import { temporaryDirectory, writeAtomically } from '../../support/files.ts';
import { makeKeystore } from '../../support/keystores.ts';
import { type Authority, createAuthority, type Leaf } from '../../support/pki.ts';
import { javaKeystore } from '../pkcs12/java-keystore.ts';

const passphrase = 'correct horse ä';
let authority: Authority;
let leaf: Leaf;
let keystore: Buffer;

before(async () => {
  authority = await (await createAuthority()).intermediate();
  leaf = await authority.issue({ names: ['a.test'] });
  keystore = await keystoreOf(leaf, passphrase);
});

const keystoreOf = ({ keyPem, chainPem }: Leaf, secret: string) =>
  makeKeystore(keyPem + chainPem, { passphrase: secret, args: ['-iter', '1'] });

/** A keystore and its passphrase, each in a directory of its own. */
async function files(t: TestContext) {
  const root = await temporaryDirectory(t);
  for (const name of ['stores', 'secrets']) await mkdir(join(root, name));
  const pkcs12 = join(root, 'stores', 'a.test.p12');
  const passphraseFile = join(root, 'secrets', 'storepass');
  await writeFile(pkcs12, keystore);
  await writeFile(passphraseFile, `${passphrase}\n`);
  return { root, pkcs12, passphraseFile };
}

const loaded = (source: Pkcs12Source) => source.load({ thorough: false });

async function codesAndChains(source: Pkcs12Source) {
  const { identities, findings } = await loaded(source);
  const chains = identities.map((one) => validate(one).identity?.chainPem);
  return { codes: findings.map(({ code, identity }) => `${code} ${identity}`), chains };
}

test('an identity of two files in two directories', async (t) => {
  const { root, ...options } = await files(t);
  const source = new Pkcs12Source(options);
  const { identities, findings, watch } = await loaded(source);
  assert.deepEqual(findings, []);
  assert.equal(source.id, options.pkcs12);
  const [one] = identities;
  assert.ok(one);
  assert.equal(one.id, 'a.test');
  assert.equal(one.source, options.pkcs12);
  assert.deepEqual(one.files, { certificate: options.pkcs12, key: options.pkcs12 });
  const validation = validate(one);
  assert.deepEqual(validation.findings, []);
  assert.deepEqual(validation.identity?.names, ['a.test']);
  assert.equal(validation.identity?.chainPem, leaf.chainPem);
  for (const targets of [source.watch, watch]) {
    const watched = targets.map(({ directory }) => directory);
    assert.deepEqual(watched.sort(), [join(root, 'secrets'), join(root, 'stores')]);
  }
});

test('the id of the source is the path as it was given', () => {
  assert.equal(new Pkcs12Source({ pkcs12: './a.p12' }).id, './a.p12');
});

test('names that are given replace those of the certificate', async (t) => {
  const { pkcs12, passphraseFile } = await files(t);
  const { identities } = await loaded(new Pkcs12Source({ pkcs12, passphraseFile, names: ['B.test'] }));
  assert.deepEqual(
    identities.map((one) => validate(one).identity?.names),
    [['b.test']],
  );
});

test('several keys are an identity each', async (t) => {
  const { pkcs12, passphraseFile } = await files(t);
  await writeFile(pkcs12, javaKeystore);
  await writeFile(passphraseFile, 'changeit\n');
  const { identities, findings } = await loaded(new Pkcs12Source({ pkcs12, passphraseFile }));
  assert.deepEqual(findings, []);
  assert.deepEqual(
    identities.map(({ id }) => id),
    ['a.test/web', 'a.test/api'],
  );
});

test('without a passphrase file, a keystore with an empty passphrase opens and another one does not', async (t) => {
  const { pkcs12 } = await files(t);
  const source = new Pkcs12Source({ pkcs12 });
  assert.deepEqual(await codesAndChains(source), { codes: ['KEY_PASSPHRASE_MISSING a.test'], chains: [] });
  await writeAtomically(pkcs12, await keystoreOf(leaf, ''));
  assert.deepEqual(await codesAndChains(source), { codes: [], chains: [leaf.chainPem] });
});

describe('a new keystore and its new passphrase, one long after the other', () => {
  for (const order of [
    ['keystore', 'passphrase'],
    ['passphrase', 'keystore'],
  ]) {
    test(`${order[0]} first`, async (t) => {
      const { pkcs12, passphraseFile } = await files(t);
      const source = new Pkcs12Source({ pkcs12, passphraseFile });
      assert.deepEqual(await codesAndChains(source), { codes: [], chains: [leaf.chainPem] });
      const next = await authority.issue({ names: ['a.test'] });
      const steps: Record<string, () => Promise<void>> = {
        keystore: async () => writeAtomically(pkcs12, await keystoreOf(next, 'next')),
        passphrase: () => writeAtomically(passphraseFile, 'next\n'),
      };
      await steps[order[0] ?? '']?.();
      for (let i = 0; i < 2; i += 1) {
        assert.deepEqual(await codesAndChains(source), { codes: ['KEY_PASSPHRASE_WRONG a.test'], chains: [] });
      }
      await steps[order[1] ?? '']?.();
      assert.deepEqual(await codesAndChains(source), { codes: [], chains: [next.chainPem] });
    });
  }
});

for (const missing of ['pkcs12', 'passphraseFile'] as const) {
  test(`${missing} that is not there, or a directory, is a finding that names it`, async (t) => {
    const { root: _, ...options } = await files(t);
    const path = options[missing];
    const source = new Pkcs12Source(options);
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
  });
}

test('written in place and half done, it is never served', async (t) => {
  const { pkcs12, passphraseFile } = await files(t);
  const source = new Pkcs12Source({ pkcs12, passphraseFile });
  const next = await keystoreOf(await authority.issue({ names: ['a.test'] }), passphrase);
  for (const share of [0, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99]) {
    const half = next.subarray(0, next.length * share);
    await writeFile(pkcs12, half);
    assert.deepEqual(await codesAndChains(source), { codes: ['KEYSTORE_UNREADABLE a.test'], chains: [] });
    const mixed = Buffer.concat([half, keystore.subarray(half.length)]);
    if (mixed.equals(keystore) || mixed.equals(next)) continue;
    await writeFile(pkcs12, mixed);
    assert.deepEqual((await codesAndChains(source)).chains, []);
  }
});

test('what it hands on shows no key and no passphrase', async (t) => {
  const { pkcs12, passphraseFile } = await files(t);
  const source = new Pkcs12Source({ pkcs12, passphraseFile });
  const right = await loaded(source);
  await writeFile(passphraseFile, 'not the passphrase');
  const shown = inspect([right, await loaded(source)], { depth: null, maxStringLength: null }) + JSON.stringify(right);
  for (const secret of [leaf.keyPem.split('\n')[1] ?? '', passphrase, 'not the passphrase']) {
    assert.ok(!shown.includes(secret));
  }
});
