import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Secret, validate } from '../../../src/certificates/index.ts';
import { createAuthority } from '../../support/pki.ts';
import { writeManyCertificates } from './many-certificates.ts';

test('each of many certificates is a whole identity of its own: name, key, serial number, signature', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'many-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const authority = await createAuthority();
  const all = await writeManyCertificates(authority, 50, directory);
  const seen = new Set<string>();
  for (const { name, file } of all) {
    const pem = readFileSync(file, 'utf8');
    const certificatePem = pem.slice(pem.indexOf('-----BEGIN CERTIFICATE'));
    const keyPem = new Secret(pem.slice(0, pem.indexOf('-----BEGIN CERTIFICATE')));
    const material = { id: name, source: 'test', files: { certificate: file, key: file }, certificatePem, keyPem };
    const { identity, findings } = validate(material);
    assert.deepEqual(findings, []);
    assert.deepEqual(identity?.names, [name]);
    const certificate = new X509Certificate(certificatePem);
    assert.ok(certificate.verify(authority.x509.publicKey), 'signed by the authority');
    assert.equal(certificate.subject, `CN=${name}`);
    seen.add(certificate.serialNumber).add(certificate.publicKey.export({ type: 'spki', format: 'pem' }).toString());
  }
  assert.equal(seen.size, 2 * all.length);
});
