import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { rootCertificates } from 'node:tls';
import { buildChain } from '../../src/certificates/chain.ts';
import { parsePem } from '../../src/certificates/pem.ts';
import { type Authority, createAuthority, type Leaf, selfSigned } from '../support/pki.ts';

describe('ordering certificates into a chain', () => {
  let root: Authority;
  let upper: Authority;
  let lower: Authority;
  let leaf: Leaf;
  let pems: Record<string, string>;

  before(async () => {
    root = await createAuthority();
    upper = await root.intermediate();
    lower = await upper.intermediate();
    leaf = await lower.issue();
    pems = {
      leaf: leaf.certificatePem,
      lower: lower.certificatePem,
      upper: upper.certificatePem,
      root: root.certificatePem,
      stranger: (await createAuthority()).certificatePem,
      neighbour: (await lower.issue()).certificatePem,
      // Bears the name of the issuer, and not its key.
      impostor: (await createAuthority({ name: lower.name })).certificatePem,
    };
  });

  const chainOf = (written: string) => {
    const certificates = written.split(' ').map((name) => new X509Certificate(pems[name] ?? ''));
    const chain = buildChain(certificates, leaf.keys.privateKey);
    assert.ok(chain);
    const nameOf = ({ raw }: X509Certificate) =>
      Object.keys(pems).find((name) => raw.equals(new X509Certificate(pems[name] ?? '').raw));
    return {
      sent: chain.certificates.map(nameOf).join(' '),
      reordered: chain.reordered,
      strangers: chain.strangers.map(nameOf).join(' '),
    };
  };

  for (const [written, sent, reordered, strangers] of [
    ['leaf', 'leaf', false, ''],
    ['leaf lower upper', 'leaf lower upper', false, ''],
    ['leaf lower upper root', 'leaf lower upper', false, ''],
    ['leaf upper lower', 'leaf lower upper', true, ''],
    ['lower leaf upper', 'leaf lower upper', true, ''],
    ['root upper lower leaf', 'leaf lower upper', true, ''],
    ['leaf leaf lower', 'leaf lower', false, ''],
    ['leaf upper', 'leaf', false, 'upper'],
    ['leaf lower stranger', 'leaf lower', false, 'stranger'],
    ['leaf impostor lower', 'leaf lower', true, 'impostor'],
    ['leaf lower neighbour', 'leaf lower', false, 'neighbour'],
    ['neighbour leaf lower', 'leaf lower', true, 'neighbour'],
  ] as const) {
    test(`${written} → ${sent}`, () => assert.deepEqual(chainOf(written), { sent, reordered, strangers }));
  }

  test('is not possible without the certificate of the key', async () => {
    const other = await lower.issue();
    assert.equal(buildChain([leaf.x509, new X509Certificate(lower.certificatePem)], other.keys.privateKey), null);
    assert.equal(buildChain([], leaf.keys.privateKey), null);
  });

  test('takes a signature for one only when it holds', () => {
    const tampered = Buffer.from(leaf.x509.raw);
    tampered.writeUInt8(tampered.readUInt8(tampered.length - 1) ^ 1, tampered.length - 1);
    const certificates = [new X509Certificate(tampered), new X509Certificate(lower.certificatePem)];
    const chain = buildChain(certificates, leaf.keys.privateKey);
    assert.deepEqual(chain?.certificates, certificates.slice(0, 1));
    assert.deepEqual(chain?.strangers, certificates.slice(1));
  });

  test('keeps a certificate that is its own issuer', async () => {
    const own = await selfSigned();
    const chain = buildChain([own.x509], own.keys.privateKey);
    assert.deepEqual(chain?.certificates, [own.x509]);
    assert.equal(chain?.incomplete, false);
  });

  test('is incomplete when the leaf tells of an issuer that is missing and that clients do not ship with', async () => {
    const aiaCaIssuers = 'http://issuer.test/ca.der';
    const subjects = rootCertificates.map((pem) => new X509Certificate(pem).subject);
    const known = subjects.find((name) => /^CN=[^,"+]+(\n[A-Z]+=[^,"+]+)*$/.test(name)) ?? '';
    const knownRoot = await createAuthority({ name: known.slice('CN='.length).replaceAll('\n', ', ') });
    const shipped = await knownRoot.issue({ aiaCaIssuers });
    assert.equal(shipped.x509.issuer, known);
    const missing = await lower.issue({ aiaCaIssuers });
    for (const [issued, pem, incomplete] of [
      [missing, missing.certificatePem, true],
      [missing, missing.chainPem, false],
      [leaf, leaf.certificatePem, false],
      [shipped, shipped.certificatePem, false],
    ] as const) {
      const { blocks } = parsePem(pem);
      const chain = buildChain(
        blocks.map((block) => new X509Certificate(block.pem)),
        issued.keys.privateKey,
      );
      assert.equal(chain?.incomplete, incomplete);
    }
  });
});
