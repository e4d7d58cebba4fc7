import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { rootCertificates } from 'node:tls';
import { bundleFindings, validateBundle } from '../../../src/certificates/index.ts';
import { type Authority, createAuthority, type Leaf, selfSigned } from '../../support/pki.ts';
import { codesOf, damaged, truncated } from '../support/material.ts';
import { bundleOf, derOf, issueClient, validated } from './support/bundle.ts';
import { sequence } from './support/der.ts';

const DAY = 24 * 3_600_000;
const now = Date.now();

let root: Authority;
let other: Authority;
let leaf: Leaf;
let crl: string;

before(async () => {
  root = await createAuthority();
  other = await createAuthority();
  leaf = await issueClient(root);
  crl = await root.crl([leaf]);
});

/** The counts of CA certificates and CRLs of a bundle of these files. */
function counts(...contents: readonly (string | Buffer)[]): [number, number] {
  const { authorityCount, crlCount } = bundleOf(...contents);
  return [authorityCount, crlCount];
}

describe('a file of a bundle may be', () => {
  test('PEM of certificates and CRLs, with text around them', () => {
    const text = `# Our CAs\n\n${root.certificatePem}CRL of today:\n${crl}\nsubject=CN = other\n${other.certificatePem}the end`;
    assert.deepEqual(counts(text), [2, 1]);
    assert.deepEqual(counts(text.replaceAll('\n', '\r\n')), [2, 1]);
    assert.deepEqual(counts(`\ufeff${root.certificatePem}`), [1, 0], 'with a byte order mark');
    assert.deepEqual(counts(root.certificatePem.trimEnd()), [1, 0], 'without the last line feed');
  });

  test('PEM under the older labels', () => {
    const old = (pem: string) =>
      pem.replaceAll(' CERTIFICATE-', ' X509 CERTIFICATE-').replaceAll(' X509 CRL-', ' CRL-');
    assert.deepEqual(counts(old(root.certificatePem), old(crl)), [1, 1]);
  });

  test('DER of a certificate or of a CRL', () => {
    assert.deepEqual(counts(derOf(root.certificatePem), derOf(crl)), [1, 1]);
  });

  test('the roots that browsers know, all of them', () => {
    assert.deepEqual(counts(rootCertificates.join('\n')), [rootCertificates.length, 0]);
  });

  test('PEM with other things, which are passed over', () => {
    const dh = '-----BEGIN DH PARAMETERS-----\nMAYCAQUCAQI=\n-----END DH PARAMETERS-----\n';
    assert.deepEqual(counts(dh + root.certificatePem, dh), [1, 0]);
  });
});

describe('a bundle is rejected whole when a file of it is', () => {
  const cases: Readonly<Record<string, () => string | Buffer>> = {
    empty: () => '',
    blank: () => '\n \n',
    text: () => 'to whom it may concern\n',
    'PEM that was cut in a block': () => other.certificatePem + truncated(root.certificatePem),
    'PEM that was cut in the last boundary': () => other.certificatePem.trimEnd().slice(0, -3),
    'PEM that lost its beginning': () => other.certificatePem.slice(20) + root.certificatePem,
    'PEM whose content is damaged': () => damaged(root.certificatePem),
    'PEM whose letters are damaged': () => root.certificatePem.replace('\nM', '\nM?'),
    'PEM of nothing': () => '-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n',
    'PEM with more behind the certificate': () =>
      pem('CERTIFICATE', Buffer.concat([derOf(root.certificatePem), Buffer.from([5, 0])])),
    'PEM with trust settings of OpenSSL': () => root.certificatePem.replaceAll('CERTIFICATE', 'TRUSTED CERTIFICATE'),
    'a CRL that was cut': () => truncated(crl),
    'a CRL called a certificate': () => crl.replaceAll('X509 CRL', 'CERTIFICATE'),
    'a certificate called a CRL': () => root.certificatePem.replaceAll('CERTIFICATE', 'X509 CRL'),
    'DER that was cut': () => derOf(root.certificatePem).subarray(0, -1),
    'DER with more behind it': () => Buffer.concat([derOf(crl), Buffer.from([0])]),
    'DER of something else': () => sequence(sequence()),
    zeros: () => Buffer.alloc(1000),
  };
  for (const [what, content] of Object.entries(cases)) {
    test(what, () => {
      const { bundle, findings } = validated(root.certificatePem, content());
      assert.equal(bundle, null);
      assert.deepEqual(codesOf(findings), ['TRUST_UNPARSABLE error']);
      assert.equal(findings[0]?.file, '/trust/1');
      assert.equal(findings[0]?.identity, 'clients');
      assert.match(findings[0]?.message ?? '', /^\/trust\/1 (is|ends|has) /);
    });
  }
});

test('a bundle without CA certificate is none', () => {
  const none = validateBundle({ id: 'clients', source: '/trust', files: [] });
  assert.deepEqual([none.bundle, codesOf(none.findings)], [null, ['TRUST_EMPTY error']]);
  const onlyLeaf = validated(leaf.certificatePem);
  assert.equal(onlyLeaf.bundle, null);
  assert.deepEqual(codesOf(onlyLeaf.findings), ['TRUST_NOT_CA warning', 'TRUST_EMPTY error']);
});

test('what is no CA is passed over with a warning: leaves, and what signs itself without saying that it is one', async () => {
  const own = await selfSigned({ ca: false });
  for (const { certificatePem } of [leaf, own]) {
    const { bundle, findings } = validated(root.certificatePem + certificatePem);
    assert.equal(bundle?.authorityCount, 1);
    assert.deepEqual(bundle.caPem, bundleOf(root.certificatePem).caPem);
    assert.deepEqual(
      findings.map(({ code, severity, file, identity }) => [code, severity, file, identity]),
      [['TRUST_NOT_CA', 'warning', '/trust/0', 'clients']],
    );
  }
});

test('the fingerprint is of the set: neither order, nor repetition, nor files change it', async () => {
  const empty = await root.crl([]);
  const { fingerprint, caPem } = bundleOf(root.certificatePem + other.certificatePem, crl, empty);
  assert.match(fingerprint, /^[0-9a-f]{64}$/);
  const same = bundleOf(
    empty + crl + crl,
    derOf(other.certificatePem),
    `${root.certificatePem}text\n${other.certificatePem}`,
  );
  assert.equal(same.fingerprint, fingerprint);
  assert.deepEqual(same.caPem, caPem);
  assert.deepEqual([same.authorityCount, same.crlCount], [2, 2]);
});

test('the fingerprint tells every CA certificate and every CRL', async () => {
  const bundles = [
    [root.certificatePem],
    [other.certificatePem],
    [root.certificatePem, other.certificatePem],
    [root.certificatePem, crl],
    [root.certificatePem, await root.crl([])],
    [root.certificatePem, crl, await root.crl([])],
  ];
  assert.equal(new Set(bundles.map((contents) => bundleOf(...contents).fingerprint)).size, bundles.length);
});

test('a bundle says what it holds, and until when it is good', async () => {
  const soon = await createAuthority({ notAfter: new Date(Math.floor(now / 1000) * 1000 + 30 * DAY) });
  const nextUpdate = (days: number) => ({ nextUpdate: new Date(Math.floor(now / 1000) * 1000 + days * DAY) });
  const crls = [await soon.crl([], nextUpdate(7)), await soon.crl([], nextUpdate(3))];
  const bundle = bundleOf(root.certificatePem, soon.certificatePem, ...crls);
  assert.equal(bundle.id, 'clients');
  assert.equal(bundle.source, '/trust');
  assert.deepEqual(bundle.files, ['/trust/0', '/trust/1', '/trust/2', '/trust/3']);
  assert.deepEqual([bundle.authorityCount, bundle.crlCount], [2, 2]);
  assert.equal(bundle.notAfter, Date.parse(soon.x509.validTo));
  assert.equal(bundle.nextUpdate, Math.floor(now / 1000) * 1000 + 3 * DAY);
  assert.equal(bundleOf(root.certificatePem).nextUpdate, null);
  assert.deepEqual(new Set(bundle.caPem), new Set([root.certificatePem, soon.certificatePem].map(rewrapped)));
});

test('time makes findings: CAs that expired, CRLs that were to be replaced, each once and where it is', async () => {
  const soon = await createAuthority({ name: 'Soon', notAfter: new Date(now + 30 * DAY) });
  const bundle = bundleOf(
    root.certificatePem,
    soon.certificatePem,
    await soon.crl([], { nextUpdate: new Date(now + DAY) }),
  );
  const at = (days: number) =>
    bundleFindings(bundle, now + days * DAY).map(({ code, severity, file, identity }) => [
      code,
      severity,
      file,
      identity,
    ]);
  const outdated = ['CRL_OUTDATED', 'warning', '/trust/2', 'clients'];
  assert.deepEqual(at(0), []);
  assert.deepEqual(at(2), [outdated]);
  assert.deepEqual(at(40), [['TRUST_EXPIRED', 'warning', '/trust/1', 'clients'], outdated]);
  const [expired] = bundleFindings(bundle, now + 40 * DAY);
  assert.match(expired?.message ?? '', /"CN=Soon" in \/trust\/1 expired \d{4}-/);
});

function pem(label: string, der: Buffer): string {
  return `-----BEGIN ${label}-----\n${der.toString('base64')}\n-----END ${label}-----\n`;
}

/** As OpenSSL breaks the lines. */
function rewrapped(one: string): string {
  const lines =
    derOf(one)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}
