import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import tls from 'node:tls';
import { createAuthority, fingerprintOf, type KeyType, type Leaf, selfSigned } from './pki.ts';

const keyTypes: KeyType[] = ['ec-p256', 'ec-p384', 'rsa-2048', 'rsa-1024', 'ed25519'];

async function handshake(leaf: Leaf, ca: string, keyPem = leaf.keyPem): Promise<tls.PeerCertificate> {
  // Level 0 because OpenSSL's default refuses RSA keys of 1024 bits.
  const ciphers = 'DEFAULT@SECLEVEL=0';
  const server = tls.createServer({ cert: leaf.chainPem, key: keyPem, ciphers }, (socket) => socket.end());
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as { port: number };
  const client = tls.connect({ port, host: '127.0.0.1', servername: 'localhost', ca, ciphers });
  try {
    await once(client, 'secureConnect');
    return client.getPeerCertificate();
  } finally {
    client.destroy();
    server.close();
  }
}

describe('test PKI', () => {
  for (const keyType of keyTypes) {
    test(`a leaf with ${keyType} is accepted by X509Certificate and tls, in both key formats`, async () => {
      const root = await createAuthority();
      const leaf = await root.issue({ keyType });
      const authority = new X509Certificate(root.certificatePem);
      assert.ok(leaf.x509.checkIssued(authority));
      assert.ok(leaf.x509.verify(authority.publicKey));
      assert.ok(leaf.x509.checkPrivateKey(leaf.keys.privateKey));
      for (const keyPem of [leaf.keyPem, leaf.keyPemTraditional]) {
        const peer = await handshake(leaf, root.certificatePem, keyPem);
        assert.equal(fingerprintOf(leaf.certificatePem), peer.fingerprint256.replaceAll(':', '').toLowerCase());
      }
    });
  }

  for (const keyType of keyTypes) {
    test(`an authority with ${keyType} issues leaves`, async () => {
      const root = await createAuthority({ keyType });
      const leaf = await root.issue();
      await handshake(leaf, root.certificatePem);
    });
  }

  test('a chain of two intermediates is complete without the root', async () => {
    const root = await createAuthority();
    const leaf = await (await (await root.intermediate()).intermediate()).issue();
    assert.equal(leaf.chainPem.match(/BEGIN CERTIFICATE/g)?.length, 3);
    await handshake(leaf, root.certificatePem);
  });

  test('options reach the certificate', async () => {
    const root = await createAuthority();
    const leaf = await root.issue({
      names: ['a.test', '*.b.test', '127.0.0.1', '::1'],
      commonName: 'Someone',
      serial: '0abc',
      eku: ['clientAuth'],
      aiaCaIssuers: 'http://ca.test/ca.crt',
      notBefore: new Date('2024-01-01T00:00:00Z'),
      notAfter: new Date('2025-01-01T00:00:00Z'),
    });
    assert.equal(leaf.x509.subject, 'CN=Someone');
    assert.match(leaf.x509.subjectAltName ?? '', /^DNS:a\.test, DNS:\*\.b\.test, IP Address:127\.0\.0\.1, IP Address:/);
    assert.equal(leaf.x509.serialNumber, '0ABC');
    assert.deepEqual(leaf.x509.keyUsage, ['1.3.6.1.5.5.7.3.2']);
    assert.match(leaf.x509.infoAccess ?? '', /ca\.test/);
    assert.equal(leaf.x509.validTo, 'Jan  1 00:00:00 2025 GMT');
    const bare = await root.issue({ names: ['a.test'], noSan: true, eku: null, ca: true });
    assert.equal(bare.x509.subjectAltName, undefined);
    assert.equal(bare.x509.keyUsage, undefined);
    assert.equal(bare.x509.ca, true);
  });

  test('a weak hash is used where asked', async () => {
    for (const keyType of ['ec-p256', 'rsa-2048'] as const) {
      const root = await createAuthority({ keyType });
      const leaf = await root.issue({ hash: 'SHA-1' });
      assert.ok(leaf.x509.verify(new X509Certificate(root.certificatePem).publicKey));
      assert.match(leaf.x509.signatureAlgorithm ?? '', /sha1/i);
    }
  });

  test('keys can be shared, renewed and protected', async () => {
    const root = await createAuthority();
    const [first, second] = await root.issueMany([{ names: ['a.test'] }, { names: ['b.test'] }]);
    assert.ok(first && second);
    assert.equal(first.keyPem, second.keyPem);
    assert.notEqual(first.fingerprint256, second.fingerprint256);
    const renewed = await root.issue({ names: ['a.test'], sameKeyAs: first });
    assert.ok(renewed.x509.checkPrivateKey(first.keys.privateKey));
    assert.match(first.encryptedKeyPem('secret'), /^-----BEGIN ENCRYPTED PRIVATE KEY-----/);
    assert.match(first.encryptedKeyPem('secret', 'traditional'), /Proc-Type: 4,ENCRYPTED/);
  });

  test('a self-signed leaf is its own issuer', async () => {
    const leaf = await selfSigned();
    assert.ok(leaf.x509.checkIssued(leaf.x509));
    await handshake(leaf, leaf.certificatePem);
  });

  test('a revocation list is enforced by tls', async () => {
    const root = await createAuthority();
    const good = await root.issue({ eku: ['clientAuth'] });
    const bad = await root.issue({ eku: ['clientAuth'] });
    const crl = await root.crl([bad]);
    for (const [client, expected] of [
      [good, true],
      [bad, false],
    ] as const) {
      assert.equal(await clientIsAuthorized(root.certificatePem, crl, client, await root.issue()), expected);
    }
  });
});

async function clientIsAuthorized(ca: string, crl: string, client: Leaf, serverLeaf: Leaf): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const options = { cert: serverLeaf.chainPem, key: serverLeaf.keyPem, ca, crl, requestCert: true };
  const server = tls.createServer({ ...options, rejectUnauthorized: false }, (socket) => {
    resolve(socket.authorized);
    socket.end();
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as { port: number };
  const socket = tls.connect({
    port,
    host: '127.0.0.1',
    servername: 'localhost',
    ca,
    cert: client.chainPem,
    key: client.keyPem,
  });
  try {
    return await promise;
  } finally {
    socket.destroy();
    server.close();
  }
}
