import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { verifyClient } from '../../../src/certificates/index.ts';
import { temporaryDirectory } from '../../support/files.ts';
import { type Authority, createAuthority } from '../../support/pki.ts';
import { codesOf } from '../support/material.ts';
import { bundleOf, issueClient, validated } from './support/bundle.ts';
import { crlDer, element, entry, extension, integer, sequence } from './support/der.ts';

const run = promisify(execFile);

/** Key, digest and further options of `openssl` for a way to sign, and whether it is accepted. */
const signatures: Readonly<Record<string, readonly [readonly string[], string, readonly string[], boolean]>> = {
  'RSA with SHA-256': [['-algorithm', 'RSA'], 'sha256', [], true],
  'RSA with SHA-384': [['-algorithm', 'RSA'], 'sha384', [], true],
  'RSA with SHA-512': [['-algorithm', 'RSA'], 'sha512', [], true],
  'RSA with SHA-1': [['-algorithm', 'RSA'], 'sha1', [], false],
  'RSA-PSS': [['-algorithm', 'RSA'], 'sha256', ['rsa_padding_mode:pss', 'rsa_pss_saltlen:32'], true],
  'RSA-PSS with a salt of another length': [
    ['-algorithm', 'RSA'],
    'sha384',
    ['rsa_padding_mode:pss', 'rsa_pss_saltlen:20'],
    true,
  ],
  'RSA-PSS with two digests': [
    ['-algorithm', 'RSA'],
    'sha256',
    ['rsa_padding_mode:pss', 'rsa_pss_saltlen:32', 'rsa_mgf1_md:sha512'],
    false,
  ],
  'RSA-PSS with SHA-1': [['-algorithm', 'RSA'], 'sha1', ['rsa_padding_mode:pss', 'rsa_pss_saltlen:20'], false],
  'an RSA-PSS key': [['-algorithm', 'RSA-PSS'], 'sha256', ['rsa_pss_saltlen:32'], true],
  'P-256 with SHA-256': [['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256'], 'sha256', [], true],
  'P-384 with SHA-384': [['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-384'], 'sha384', [], true],
  'P-521 with SHA-512': [['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-521'], 'sha512', [], true],
  'P-256 with SHA-1': [['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256'], 'sha1', [], false],
  Ed25519: [['-algorithm', 'ED25519'], 'default', [], true],
  Ed448: [['-algorithm', 'ED448'], 'default', [], true],
};

/** One key of each kind: they cost more than all the rest. */
const keys = new Map<string, Buffer>();

/** A CA of OpenSSL with one revoked serial number, its certificate and its CRL. */
async function opensslCrl(directory: string, [key, digest, sigopts]: (typeof signatures)[string]) {
  const at = (name: string) => join(directory, name);
  const openssl = (...args: readonly string[]) => run('openssl', [...args], { cwd: directory });
  const known = keys.get(key.join(' '));
  if (known) await writeFile(at('ca.key'), known);
  else await openssl('genpkey', ...key, '-out', 'ca.key');
  keys.set(key.join(' '), await readFile(at('ca.key')));
  await openssl(
    'req',
    '-x509',
    '-key',
    'ca.key',
    '-subj',
    '/C=CH/O=OpenSSL/CN=Its CA',
    '-days',
    '30',
    '-out',
    'ca.pem',
  );
  await writeFile(at('index.txt'), 'R\t350101000000Z\t260101000000Z,keyCompromise\t0123AB\tunknown\t/CN=somebody\n');
  await writeFile(at('crlnumber'), '01\n');
  await writeFile(
    at('ca.cnf'),
    '[ca]\ndefault_ca=it\n[it]\ndatabase=index.txt\ncrlnumber=crlnumber\ndefault_crl_days=7\ncrl_extensions=ext\n[ext]\nauthorityKeyIdentifier=keyid\n',
  );
  const signing = ['-md', digest, ...sigopts.flatMap((option) => ['-sigopt', option])];
  await openssl(
    'ca',
    '-gencrl',
    '-config',
    'ca.cnf',
    '-keyfile',
    'ca.key',
    '-cert',
    'ca.pem',
    ...signing,
    '-out',
    'crl.pem',
  );
  return { ca: await readFile(at('ca.pem')), crl: await readFile(at('crl.pem')) };
}

describe('a CRL that OpenSSL signed with', () => {
  for (const [name, parameters] of Object.entries(signatures)) {
    const accepted = parameters[3];
    test(`${name} is ${accepted ? 'verified' : 'refused'}`, async (t) => {
      const { ca, crl } = await opensslCrl(await temporaryDirectory(t), parameters);
      const { bundle, findings } = validated(ca, crl);
      if (!accepted) {
        assert.deepEqual(codesOf(findings), ['CRL_UNVERIFIED error']);
        assert.match(findings[0]?.message ?? '', /not accepted/);
        return;
      }
      assert.deepEqual(findings, []);
      assert.deepEqual(
        [...(bundle?.revoked.values() ?? [])].flatMap((serials) => [...serials]),
        ['\x01\x23\xab'],
      );
    });
  }
});

describe('a CRL', () => {
  let root: Authority;
  const null_ = element(0x05);
  const oids = { delta: '551d1b', scope: '551d1c', issuer: '551d1d', reason: '551d15', unknown: '2a0304' };
  const scope = (tag: number) => extension(oids.scope, true, sequence(element(tag, Buffer.from([0xff]))));
  const reason = (code: number) => extension(oids.reason, false, element(0x0a, Buffer.from([code])));

  before(async () => {
    root = await createAuthority();
  });

  /** What is said of a bundle with such a CRL. */
  const said = (parts: Parameters<typeof crlDer>[1]) =>
    validated(root.certificatePem, crlDer(root, parts)).findings.map(({ code, message }) => `${code} ${message}`);

  test('without extensions, or with those that change nothing, is taken', () => {
    const number = extension('551d14', false, integer('05'));
    assert.deepEqual(said({}), []);
    assert.deepEqual(said({ version: null, entries: [entry('05')] }), []);
    assert.deepEqual(said({ extensions: [number, extension(oids.unknown, false, null_)] }), []);
    assert.deepEqual(said({ entries: [entry('05', reason(1), extension(oids.unknown, false, null_))] }), []);
    assert.deepEqual(said({ extensions: [scope(0x81)] }), [], 'for user certificates only');
  });

  for (const [what, parts, message] of [
    ['that is a delta', { extensions: [extension(oids.delta, true, integer('01'))] }, /delta CRL/],
    [
      'that is a delta and does not say that it matters',
      { extensions: [extension(oids.delta, false, integer('01'))] },
      /delta/,
    ],
    ['that is indirect', { extensions: [scope(0x84)] }, /indirect CRL/],
    ['of attribute certificates', { extensions: [scope(0x85)] }, /attribute/],
    [
      'with an entry of another issuer',
      { entries: [entry('05', extension(oids.issuer, true, sequence()))] },
      /indirect/,
    ],
    ['that takes something back', { entries: [entry('05', reason(8))] }, /takes back/],
    [
      'with a critical extension that is not known',
      { extensions: [extension(oids.unknown, true, null_)] },
      /1\.2\.3\.4/,
    ],
    [
      'with such an extension in an entry',
      { entries: [entry('05', extension(oids.unknown, true, null_))] },
      /1\.2\.3\.4/,
    ],
    [
      'with an extension twice',
      { extensions: [extension(oids.unknown, false, null_), extension(oids.unknown, false, null_)] },
      /twice/,
    ],
    [
      'of two signature algorithms',
      { outerAlgorithm: sequence(element(0x06, Buffer.from('2a8648ce3d040303', 'hex'))) },
      /differ/,
    ],
    [
      'of version 1 with extensions',
      { version: null, extensions: [extension(oids.unknown, false, null_)] },
      /version 2/,
    ],
    ['of a version to come', { version: '02' }, /version/],
    ['with a serial number in a longer form', { entries: [entry('0005')] }, /shortest/],
  ] as const) {
    test(`${what} is refused in words`, () => {
      const [one, ...others] = said(parts);
      assert.match(one ?? '', /^TRUST_UNPARSABLE /);
      assert.match(one ?? '', message);
      assert.deepEqual(others, []);
    });
  }

  test('whose signature is not of whole bytes is refused', () => {
    const der = crlDer(root, {});
    // The last BIT STRING: an ECDSA signature of P-256 is a sequence of 68 to 72 bytes.
    const at = der.lastIndexOf(Buffer.from([0x00, 0x30]));
    der[at] = 1;
    assert.deepEqual(codesOf(validated(root.certificatePem, der).findings), ['TRUST_UNPARSABLE error']);
  });

  test('of a CA that may not sign CRLs is refused', async () => {
    const { keyCertSign } = (await import('@peculiar/x509')).KeyUsageFlags;
    const restricted = await createAuthority({ usages: keyCertSign });
    const { bundle, findings } = validated(restricted.certificatePem, await restricted.crl([]));
    assert.equal(bundle, null);
    assert.deepEqual(codesOf(findings), ['CRL_UNVERIFIED error']);
    assert.match(findings[0]?.message ?? '', /keyUsage/);
  });

  test('of another key of the same name, or of nobody, is not verified', async () => {
    const namesake = await createAuthority({ name: root.name });
    for (const authority of [namesake, await createAuthority()]) {
      const { bundle, findings } = validated(root.certificatePem, await authority.crl([]));
      assert.equal(bundle, null);
      assert.deepEqual(
        findings.map(({ code, severity, file, identity }) => [code, severity, file, identity]),
        [['CRL_UNVERIFIED', 'error', '/trust/1', 'clients']],
      );
    }
    assert.ok(bundleOf(root.certificatePem + namesake.certificatePem, await namesake.crl([])));
  });

  test('that was changed after it was signed is not verified', () => {
    const der = crlDer(root, { entries: [entry('05')] });
    const at = der.indexOf(entry('05'));
    der[at + 4] = 6;
    assert.deepEqual(codesOf(validated(root.certificatePem, der).findings), ['CRL_UNVERIFIED error']);
  });

  test('as large as a file may be is read, and looked up', async () => {
    const serial = (i: number) => `40${i.toString(16).padStart(30, '0')}`;
    const entries = Array.from({ length: 25_000 }, (_, i) => entry(serial(i), reason(1)));
    const der = crlDer(root, { entries });
    assert.ok(der.length > 1_000_000);
    const bundle = bundleOf(root.certificatePem, der);
    const revoked = await issueClient(root, { serial: serial(24_999) });
    const good = await issueClient(root, { serial: serial(25_000) });
    assert.equal(verifyClient(bundle, [revoked.x509], Date.now()).ok, false);
    assert.equal(verifyClient(bundle, [good.x509], Date.now()).ok, true);
  });
});
