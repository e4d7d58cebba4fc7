import assert from 'node:assert/strict';
import { createHash, createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { publicHalf256, readP256Key } from '../../src/certificates/p256-key.ts';
import { createAuthority } from '../support/pki.ts';

const issuer = await createAuthority();
const leaf = await issuer.issue({ names: ['a.test'] });
const other = await issuer.issue({ names: ['a.test'] });

/** The DER of a PEM block, and a block of other DER. */
const derOf = (pem: string) => Buffer.from(pem.split('\n').slice(1, -2).join(''), 'base64');
const blockOf = (der: Buffer) => `-----BEGIN PRIVATE KEY-----\n${der.toString('base64')}\n-----END PRIVATE KEY-----\n`;

test('the usual form of a P-256 key is read, and is written as OpenSSL writes it', () => {
  for (let i = 0; i < 20; i += 1) {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
    for (const written of [pem, pem.replaceAll('\n', '\r\n'), blockOf(derOf(pem))]) {
      assert.equal(readP256Key(written)?.pem, pem);
    }
  }
});

test('it tells its own certificate from others, and the hash of the public key as OpenSSL does', async () => {
  const key = readP256Key(leaf.keyPem);
  assert.ok(key);
  const spki = leaf.x509.publicKey.export({ type: 'spki', format: 'der' });
  assert.equal(publicHalf256(leaf.x509, key), createHash('sha256').update(spki).digest('hex'));
  assert.equal(publicHalf256(other.x509, key), null);
  const rsa = await issuer.issue({ names: ['a.test'], keyType: 'rsa-2048' });
  assert.equal(publicHalf256(rsa.x509, key), null);
});

test('whatever else it is, OpenSSL has to say it: another byte, another curve, another form, the halves of two keys', () => {
  const der = derOf(leaf.keyPem);
  for (let at = 0; at < der.length; at += 1) {
    const changed = Buffer.from(der);
    changed[at] = (changed[at] ?? 0) ^ 1;
    assert.equal(readP256Key(blockOf(changed)), null, `byte ${at}`);
  }
  const halves = Buffer.concat([der.subarray(0, 36 + 32), derOf(other.keyPem).subarray(36 + 32)]);
  assert.equal(readP256Key(blockOf(halves)), null);
  for (const length of [0, 1, der.length - 1]) assert.equal(readP256Key(blockOf(der.subarray(0, length))), null);
  assert.equal(readP256Key(blockOf(Buffer.concat([der, Buffer.alloc(1)]))), null);
  assert.equal(readP256Key(blockOf(Buffer.from(der).fill(0, 36, 36 + 32))), null);
  const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey.export({ type: 'pkcs8', format: 'pem' });
  assert.equal(readP256Key(p384 as string), null);
  assert.equal(readP256Key(createPrivateKey(leaf.keyPem).export({ type: 'sec1', format: 'pem' }) as string), null);
});
