import assert from 'node:assert/strict';
import { mkdir, realpath, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { before, describe, type TestContext, test } from 'node:test';
import { PemDirectorySource, validate } from '../../../src/certificates/index.ts';
import { temporaryDirectory, writeAtomically } from '../../support/files.ts';
import { damagedPart, makeKeystore, partsOf, sealParts } from '../../support/keystores.ts';
import { type Authority, createAuthority, type Leaf } from '../../support/pki.ts';
import { javaKeystore } from '../pkcs12/java-keystore.ts';

const passphrase = 'correct horse';
let authority: Authority;
let leaf: Leaf;
/** What files hold, by a word for it. */
let contents: Record<string, string | Buffer>;

const keystoreOf = ({ keyPem, chainPem }: Leaf, secret: string, ...args: string[]) =>
  makeKeystore(keyPem + chainPem, { passphrase: secret, args: ['-iter', '1', ...args] });

before(async () => {
  authority = await (await createAuthority()).intermediate();
  leaf = await authority.issue({ names: ['a.test'] });
  const store = await keystoreOf(leaf, passphrase);
  const other = await keystoreOf(await authority.issue({ names: ['a.test'] }), passphrase);
  contents = {
    store,
    legacy: await keystoreOf(leaf, passphrase, '-legacy'),
    open: await keystoreOf(leaf, ''),
    empty: await keystoreOf(leaf, passphrase, '-nokeys'),
    bare: await keystoreOf(leaf, passphrase, '-nocerts'),
    cut: store.subarray(0, store.length / 2),
    damaged: damagedPart(store, 0),
    mismatch: sealParts([...partsOf(store).slice(0, 1), ...partsOf(other).slice(1)], passphrase),
    java: javaKeystore,
    javaPass: 'changeit\n',
    pass: `${passphrase}\n`,
    wrong: 'wrong\n',
    nothing: '',
    text: 'to whom it may concern\n',
    chain: leaf.chainPem,
    key: leaf.keyPem,
    both: leaf.keyPem + leaf.chainPem,
    large: Buffer.alloc(1024 * 1024 + 1),
  };
});

type Files = Readonly<Record<string, string>>;

async function directoryOf(t: TestContext, files: Files): Promise<string> {
  const directory = await realpath(await temporaryDirectory(t));
  for (const [name, content] of Object.entries(files)) {
    await mkdir(join(directory, dirname(name)), { recursive: true });
    if (content === 'directory') await mkdir(join(directory, name));
    else await writeFile(join(directory, name), contents[content] ?? assert.fail(content));
  }
  return directory;
}

interface Case {
  readonly files: Files;
  /** By id: the file of the certificate. */
  readonly identities?: Readonly<Record<string, string>>;
  /** `CODE severity id file` of each finding of the source. */
  readonly findings?: readonly string[];
}

const pair = { 'tls.crt': 'chain', 'tls.key': 'key' };

const cases: Readonly<Record<string, Case>> = {
  'keystores of either extension in any case, with their passphrases': {
    files: {
      ...{ 'a.p12': 'store', 'a.pass': 'pass', 'b.pfx': 'legacy', 'b.password': 'pass', 'shop/C.P12': 'open' },
      ...{ 'shop/eu/d.PFX': 'store', 'shop/eu/d.pass': 'pass', 'e.p12': 'open', 'e.pass': 'nothing' },
    },
    identities: { a: 'a.p12', b: 'b.pfx', e: 'e.p12', 'shop/C': 'shop/C.P12', 'shop/eu/d': 'shop/eu/d.PFX' },
  },
  'keystores beside PEM': {
    files: { ...pair, 'a.p12': 'store', 'a.pass': 'pass' },
    identities: { tls: 'tls.crt', a: 'a.p12' },
  },
  'a keystore of several keys': {
    files: { 'java.p12': 'java', 'java.pass': 'javaPass' },
    identities: { 'java/web': 'java.p12', 'java/api': 'java.p12' },
  },
  'a keystore beside certificate and key of its name: PEM goes first': {
    files: { ...pair, 'tls.p12': 'store', 'tls.pass': 'pass', 'b.pem': 'both', 'b.pfx': 'cut' },
    identities: { tls: 'tls.crt', b: 'b.pem' },
    findings: ['NAME_SHADOWED warning b b.pfx', 'NAME_SHADOWED warning tls tls.p12'],
  },
  'a keystore beside a copy of its certificate, or of its key': {
    files: { 'a.p12': 'open', 'a.crt': 'chain', 'b.p12': 'open', 'b.key': 'key' },
    identities: { a: 'a.p12', b: 'b.p12' },
  },
  'two keystores of one name': {
    files: { 'a.p12': 'open', 'a.pfx': 'open' },
    identities: { a: 'a.p12' },
    findings: ['NAME_SHADOWED warning a a.pfx'],
  },
  'a key in a keystore with the id of a file in a sub-directory': {
    files: { 'java.p12': 'java', 'java.pass': 'javaPass', 'java/web.pem': 'both' },
    identities: { 'java/web': 'java/web.pem', 'java/api': 'java.p12' },
    findings: ['NAME_SHADOWED warning java/web java.p12'],
  },
  "cert-manager's copies beside the secret": {
    files: { ...pair, 'keystore.p12': 'store', 'truststore.p12': 'empty', 'ca.crt': 'chain' },
    identities: { tls: 'tls.crt' },
  },
  'a keystore called as one of cert-manager, with its passphrase': {
    files: { ...pair, 'keystore.p12': 'store', 'keystore.pass': 'pass' },
    identities: { tls: 'tls.crt', keystore: 'keystore.p12' },
  },
  'a keystore cut short': {
    files: { ...pair, 'a.p12': 'cut', 'a.pass': 'pass' },
    identities: { tls: 'tls.crt' },
    findings: ['KEYSTORE_UNREADABLE error a a.p12'],
  },
  'a keystore that is damaged, and one that is none': {
    files: { ...pair, 'a.p12': 'damaged', 'a.pass': 'pass', 'b.p12': 'text', 'c.p12': 'nothing' },
    identities: { tls: 'tls.crt' },
    findings: [
      'KEYSTORE_UNREADABLE error a a.p12',
      'KEYSTORE_UNREADABLE error b b.p12',
      'KEYSTORE_UNREADABLE error c c.p12',
    ],
  },
  'a keystore with the wrong passphrase, or none, or an empty one': {
    files: { ...pair, 'a.p12': 'store', 'a.pass': 'wrong', 'b.p12': 'store', 'c.p12': 'store', 'c.pass': 'nothing' },
    identities: { tls: 'tls.crt' },
    findings: [
      'KEY_PASSPHRASE_MISSING error b b.p12',
      'KEY_PASSPHRASE_WRONG error a a.p12',
      'KEY_PASSPHRASE_WRONG error c c.p12',
    ],
  },
  'a keystore without a key, and one without certificates': {
    files: { ...pair, 'a.p12': 'empty', 'a.pass': 'pass', 'b.p12': 'bare', 'b.pass': 'pass' },
    identities: { tls: 'tls.crt' },
    findings: ['CERT_MISSING error b b.p12', 'KEYSTORE_EMPTY error a a.p12'],
  },
  'what is no file, or far too large': {
    files: { 'a.p12': 'directory', 'b.p12': 'store', 'b.pass': 'directory', 'c.pfx': 'large' },
    findings: ['FILE_NOT_REGULAR error a a.p12', 'FILE_NOT_REGULAR error b b.pass', 'FILE_TOO_LARGE error c c.pfx'],
  },
};

const load = (directory: string) => new PemDirectorySource(directory).load({ thorough: false });

describe('a directory holds', () => {
  for (const [what, { files, identities = {}, findings = [] }] of Object.entries(cases)) {
    test(what, async (t) => {
      const directory = await directoryOf(t, files);
      const below = (path = '') => path.slice(directory.length + 1) || '.';
      const material = await load(directory);
      const found = material.findings.map(
        ({ code, severity, identity, file }) => `${code} ${severity} ${identity} ${below(file)}`,
      );
      assert.deepEqual(found.sort(), findings);
      const ids = material.identities.map(({ id, files: { certificate } }) => [id, below(certificate)]);
      assert.deepEqual(Object.fromEntries(ids), identities);
      assert.equal(ids.length, Object.keys(identities).length);
      for (const one of material.identities) assert.deepEqual(validate(one).findings, []);
    });
  }
});

test('a keystore with the key of another certificate is for validation to say', async (t) => {
  const { identities, findings } = await load(await directoryOf(t, { 'a.p12': 'mismatch', 'a.pass': 'pass' }));
  assert.deepEqual(findings, []);
  assert.deepEqual(
    identities.map((one) => validate(one).findings.map(({ code }) => code)),
    [['KEY_MISMATCH']],
  );
});

test('names that are given replace those of a certificate in a keystore', async (t) => {
  const directory = await directoryOf(t, { 'a.p12': 'open' });
  const { identities } = await new PemDirectorySource(directory, ['b.test']).load({ thorough: false });
  assert.deepEqual(
    identities.map((one) => validate(one).identity?.names),
    [['b.test']],
  );
});

for (const first of ['a.p12', 'a.pass']) {
  test(`a new keystore and a new passphrase, ${first} long before the other`, async (t) => {
    const directory = await directoryOf(t, { 'a.p12': 'store', 'a.pass': 'pass' });
    const source = new PemDirectorySource(directory);
    const next = await authority.issue({ names: ['a.test'] });
    const fresh: Record<string, string | Buffer> = { 'a.p12': await keystoreOf(next, 'next'), 'a.pass': 'next\n' };
    const state = async () => {
      const { identities, findings } = await source.load({ thorough: false });
      return [
        ...findings.map(({ code, identity }) => `${code} ${identity}`),
        ...identities.map((one) => validate(one).identity?.chainPem),
      ];
    };
    assert.deepEqual(await state(), [leaf.chainPem]);
    await writeAtomically(join(directory, first), fresh[first] ?? '');
    assert.deepEqual(await state(), ['KEY_PASSPHRASE_WRONG a']);
    assert.deepEqual(await state(), ['KEY_PASSPHRASE_WRONG a']);
    const second = first === 'a.p12' ? 'a.pass' : 'a.p12';
    await writeAtomically(join(directory, second), fresh[second] ?? '');
    assert.deepEqual(await state(), [next.chainPem]);
  });
}

test('PEM of the same name that comes and goes takes over and gives back', async (t) => {
  const directory = await directoryOf(t, { 'a.p12': 'open' });
  const source = new PemDirectorySource(directory);
  const files = async () => (await source.load({ thorough: false })).identities.map((one) => one.files.key);
  assert.deepEqual(await files(), [join(directory, 'a.p12')]);
  await writeFile(join(directory, 'a.pem'), contents['both'] ?? '');
  assert.deepEqual(await files(), [join(directory, 'a.pem')]);
  await rm(join(directory, 'a.pem'));
  assert.deepEqual(await files(), [join(directory, 'a.p12')]);
});
