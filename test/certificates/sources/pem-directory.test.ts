import assert from 'node:assert/strict';
import { mkdir, realpath, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { before, describe, type TestContext, test } from 'node:test';
import { inspect } from 'node:util';
import { PemDirectorySource, validate } from '../../../src/certificates/index.ts';
import { temporaryDirectory } from '../../support/files.ts';
import { type Authority, createAuthority, type Leaf, selfSigned } from '../../support/pki.ts';
import { truncated } from '../support/material.ts';

const passphrase = 'correct horse ä';

let root: Authority;
let leaf: Leaf;
/** What files hold, by a word for it. */
let contents: Record<string, string>;

before(async () => {
  root = await createAuthority();
  const intermediate = await root.intermediate();
  leaf = await intermediate.issue({ names: ['a.test'] });
  const encrypted = leaf.encryptedKeyPem(passphrase);
  contents = {
    chain: leaf.chainPem,
    leaf: leaf.certificatePem,
    upper: intermediate.certificatePem,
    key: leaf.keyPem,
    both: leaf.keyPem + leaf.chainPem,
    encrypted,
    bothEncrypted: leaf.chainPem + encrypted,
    pass: passphrase,
    passLine: `${passphrase}\n`,
    passCrLf: `${passphrase}\r\n`,
    otherChain: (await selfSigned()).chainPem,
    ca: root.certificatePem,
    dh: '-----BEGIN DH PARAMETERS-----\nMAYCAQUCAQI=\n-----END DH PARAMETERS-----\n',
    crl: await root.crl([]),
    cutChain: truncated(leaf.certificatePem),
    cutKey: truncated(leaf.keyPem),
    text: 'to whom it may concern\n',
    nothing: '',
    large: 'x'.repeat(1024 * 1024 + 1),
  };
});

async function directoryOf(t: TestContext, files: Readonly<Record<string, string>>): Promise<string> {
  const directory = await realpath(await temporaryDirectory(t));
  for (const [name, content] of Object.entries(files)) {
    await mkdir(join(directory, dirname(name)), { recursive: true });
    if (content === 'directory') await mkdir(join(directory, name));
    else await writeFile(join(directory, name), contents[content] ?? assert.fail(content));
  }
  return directory;
}

interface Case {
  readonly files: Readonly<Record<string, string>>;
  /** By id: the certificate file and the key file. */
  readonly identities?: Readonly<Record<string, string>>;
  /** `CODE id file` of each finding of the source. */
  readonly findings?: readonly string[];
}

const pair = { 'tls.crt': 'chain', 'tls.key': 'key' };
const tls = { tls: 'tls.crt tls.key' };

const cases: Readonly<Record<string, Case>> = {
  'a Kubernetes secret': { files: { ...pair, 'ca.crt': 'ca' }, identities: tls },
  "a Kubernetes secret whose ca.crt is the leaf's own": { files: { ...pair, 'ca.crt': 'leaf' }, identities: tls },
  'a Kubernetes secret whose ca.crt is empty': { files: { ...pair, 'ca.crt': 'nothing' }, identities: tls },
  "certbot's four files": {
    files: { 'fullchain.pem': 'chain', 'privkey.pem': 'key', 'cert.pem': 'leaf', 'chain.pem': 'upper', README: 'text' },
    identities: { fullchain: 'fullchain.pem privkey.pem' },
  },
  'certbot without the chain': {
    files: { 'fullchain.pem': 'chain', 'privkey.pem': 'key' },
    identities: { fullchain: 'fullchain.pem privkey.pem' },
  },
  'certbot without fullchain': {
    files: { 'cert.pem': 'leaf', 'chain.pem': 'upper', 'privkey.pem': 'key' },
    identities: { fullchain: 'cert.pem privkey.pem' },
  },
  'certbot with a passphrase': {
    files: { 'fullchain.pem': 'chain', 'privkey.pem': 'encrypted', 'privkey.pass': 'passLine' },
    identities: { fullchain: 'fullchain.pem privkey.pem' },
  },
  "certbot's live directory": {
    files: {
      'a.test/fullchain.pem': 'chain',
      'a.test/privkey.pem': 'key',
      'b.test/fullchain.pem': 'chain',
      'b.test/privkey.pem': 'key',
    },
    identities: {
      'a.test/fullchain': 'a.test/fullchain.pem a.test/privkey.pem',
      'b.test/fullchain': 'b.test/fullchain.pem b.test/privkey.pem',
    },
  },
  'names with a key beside them': {
    files: {
      'a.test.crt': 'chain',
      'a.test.key': 'key',
      'b.pem': 'chain',
      'b.key': 'key',
      'c.cer': 'chain',
      'c.key': 'key',
    },
    identities: { 'a.test': 'a.test.crt a.test.key', b: 'b.pem b.key', c: 'c.cer c.key' },
  },
  'certificate and key in one file': {
    files: { 'a.pem': 'both', 'b.crt': 'both', 'c.cer': 'both' },
    identities: { a: 'a.pem a.pem', b: 'b.crt b.crt', c: 'c.cer c.cer' },
  },
  'passphrases, with and without the end of a line': {
    files: {
      ...{ 'a.crt': 'chain', 'a.key': 'encrypted', 'a.pass': 'pass' },
      ...{ 'b.crt': 'chain', 'b.key': 'encrypted', 'b.pass': 'passLine' },
      ...{ 'c.crt': 'chain', 'c.key': 'encrypted', 'c.password': 'passCrLf' },
      ...{ 'd.pem': 'bothEncrypted', 'd.password': 'passLine' },
    },
    identities: { a: 'a.crt a.key', b: 'b.crt b.key', c: 'c.crt c.key', d: 'd.pem d.pem' },
  },
  'sub-directories': {
    files: { ...pair, 'shop/tls.crt': 'chain', 'shop/tls.key': 'key', 'shop/eu/a.test.pem': 'both' },
    identities: {
      ...tls,
      'shop/tls': 'shop/tls.crt shop/tls.key',
      'shop/eu/a.test': 'shop/eu/a.test.pem shop/eu/a.test.pem',
    },
  },
  'what is beside it and is nobody’s mistake': {
    files: {
      ...pair,
      'issuer.pem': 'ca',
      'dhparam.pem': 'dh',
      'list.pem': 'crl',
      'tls.csr': 'text',
      'notes.txt': 'text',
    },
    identities: tls,
  },
  'what is hidden': {
    files: { ...pair, '.ca.key': 'key', '.old.pem': 'both', '.git/tls.crt': 'chain', '..2024_01/tls.crt': 'chain' },
    identities: tls,
  },
  'PKCS#12, which is reported': {
    files: { ...pair, 'a.p12': 'text', 'shop/B.PFX': 'text' },
    identities: tls,
    findings: ['KEYSTORE_UNREADABLE a a.p12', 'KEYSTORE_UNREADABLE shop/B shop/B.PFX'],
  },
  'a key alone': { files: { ...pair, 'a.key': 'key' }, identities: tls, findings: ['CERT_MISSING a a.key'] },
  'a certificate alone': {
    files: { ...pair, 'b/a.crt': 'chain' },
    identities: tls,
    findings: ['KEY_MISSING b/a b/a.crt'],
  },
  'a certificate alone, cut short': {
    files: { ...pair, 'a.pem': 'cutChain' },
    identities: tls,
    findings: ['CERT_UNPARSABLE a a.pem'],
  },
  'text that claims to be PEM': {
    files: { ...pair, 'a.pem': 'text' },
    identities: tls,
    findings: ['CERT_NOT_PEM a a.pem'],
  },
  'an empty file': { files: { ...pair, 'a.crt': 'nothing' }, identities: tls, findings: ['CERT_NOT_PEM a a.crt'] },
  'a directory for a certificate': {
    files: { ...pair, 'a.crt': 'directory', 'a.key': 'key' },
    identities: tls,
    findings: ['FILE_NOT_REGULAR a a.crt'],
  },
  'a directory for a key': {
    files: { ...pair, 'a.crt': 'chain', 'a.key': 'directory' },
    identities: tls,
    findings: ['FILE_NOT_REGULAR a a.key'],
  },
  'a directory for a combined file': {
    files: { ...pair, 'a.pem': 'directory' },
    identities: tls,
    findings: ['FILE_NOT_REGULAR a a.pem'],
  },
  'a directory for a passphrase': {
    files: { ...pair, 'a.crt': 'chain', 'a.key': 'encrypted', 'a.pass': 'directory' },
    identities: tls,
    findings: ['FILE_NOT_REGULAR a a.pass'],
  },
  'a file that is far too large': {
    files: { ...pair, 'a.crt': 'large', 'a.key': 'key' },
    identities: tls,
    findings: ['FILE_TOO_LARGE a a.crt'],
  },
  nothing: { files: {}, findings: ['SOURCE_EMPTY - .'] },
  'nothing but what is passed over': {
    files: { 'ca.crt': 'ca', 'dhparam.pem': 'dh', '.hidden.pem': 'both', README: 'text' },
    findings: ['SOURCE_EMPTY - .'],
  },
};

describe('a directory holds', () => {
  for (const [what, { files, identities = {}, findings = [] }] of Object.entries(cases)) {
    test(what, async (t) => {
      const directory = await directoryOf(t, files);
      const below = (path = '') => path.slice(directory.length + 1) || '.';
      const material = await new PemDirectorySource(directory).load({ thorough: false });
      const found = material.findings.map(({ code, identity = '-', file }) => `${code} ${identity} ${below(file)}`);
      assert.deepEqual(found.sort(), findings);
      for (const { severity, remedy } of material.findings) {
        assert.equal(severity, 'error');
        assert.ok(remedy);
      }
      const ids = material.identities.map(({ id, files: { certificate, key } }) => [
        id,
        `${below(certificate)} ${below(key)}`,
      ]);
      assert.deepEqual(Object.fromEntries(ids), identities);
      assert.equal(ids.length, Object.keys(identities).length);
      for (const one of material.identities) {
        const validation = validate(one);
        assert.deepEqual(validation.findings, []);
        assert.equal(validation.identity?.chainPem, leaf.chainPem);
      }
    });
  }

  test('what is there and does not fit, for validation to say', async (t) => {
    const directory = await directoryOf(t, {
      ...{ 'a.crt': 'otherChain', 'a.key': 'key', 'b.crt': 'chain', 'b.key': 'encrypted', 'c.pem': 'cutKey' },
      ...{ 'd.crt': 'chain', 'd.key': 'encrypted', 'd.pass': 'text', 'e.crt': 'cutChain', 'e.key': 'key' },
    });
    const { identities, findings } = await new PemDirectorySource(directory).load({ thorough: false });
    assert.deepEqual(findings, []);
    const codes = identities.map((one) => `${one.id} ${validate(one).findings.map(({ code }) => code)}`);
    assert.deepEqual(codes.sort(), [
      'a KEY_MISMATCH',
      'b KEY_PASSPHRASE_MISSING',
      'c CERT_NOT_PEM,KEY_UNPARSABLE',
      'd KEY_PASSPHRASE_WRONG',
      'e CERT_UNPARSABLE',
    ]);
  });
});

test('what a source hands on shows no key, also when it shares a file with the certificate', async (t) => {
  const directory = await directoryOf(t, {
    ...{
      'a.pem': 'both',
      'b.pem': 'bothEncrypted',
      'b.pass': 'pass',
      'c.pem': 'cutKey',
      'd.crt': 'both',
      'd.key': 'key',
    },
  });
  const material = await new PemDirectorySource(directory).load({ thorough: false });
  assert.equal(material.identities.length, 4);
  const shown = inspect(material, { depth: null, maxStringLength: null }) + JSON.stringify(material);
  for (const secret of [leaf.keyPem, contents['encrypted'] ?? '']) {
    assert.ok(!shown.includes(secret.split('\n')[1] ?? ''));
  }
  assert.ok(!shown.includes(passphrase));
});

test('a path that does not exist is a finding, with what to watch for it to come', async (t) => {
  const path = join(await temporaryDirectory(t), 'later');
  const source = new PemDirectorySource(path);
  const { identities, findings, watch } = await source.load({ thorough: false });
  assert.deepEqual(identities, []);
  assert.deepEqual(
    findings.map(({ code, file }) => [code, file]),
    [['SOURCE_MISSING', path]],
  );
  assert.ok(watch.length > 0);
});

test('a file may be the source: it holds certificates and key', async (t) => {
  const directory = await directoryOf(t, { 'a.test.pem': 'both', 'tls.crt': 'chain', 'tls.key': 'key' });
  const { identities, findings } = await new PemDirectorySource(join(directory, 'a.test.pem')).load({
    thorough: false,
  });
  assert.deepEqual(findings, []);
  assert.deepEqual(
    identities.map(({ id }) => id),
    ['a.test'],
  );
  const alone = await new PemDirectorySource(join(directory, 'tls.crt')).load({ thorough: false });
  assert.deepEqual(
    alone.findings.map(({ code }) => code),
    ['KEY_MISSING'],
  );
});

test('a file that is the source may be linked to, and be called as one likes', async (t) => {
  const directory = await directoryOf(t, { 'bundle.pem': 'both' });
  await symlink('bundle.pem', join(directory, 'current.pem'));
  const { identities } = await new PemDirectorySource(join(directory, 'current.pem')).load({ thorough: false });
  assert.deepEqual(
    identities.map(({ id }) => id),
    ['current'],
  );
});

test('names that are given replace those of the certificates', async (t) => {
  const directory = await directoryOf(t, pair);
  for (const [names, expected] of [
    [
      ['B.test', '*.c.test'],
      ['b.test', '*.c.test'],
    ],
    [undefined, ['a.test']],
  ] as const) {
    const { identities } = await new PemDirectorySource(directory, names).load({ thorough: false });
    assert.deepEqual(
      identities.map((one) => validate(one).identity?.names),
      [expected],
    );
  }
});

test('the id of the source is the path as it was given', () => {
  assert.equal(new PemDirectorySource('./certs/').id, './certs/');
});
