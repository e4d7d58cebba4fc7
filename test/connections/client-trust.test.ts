import '../support/reflect-metadata.ts';
import assert from 'node:assert/strict';
import { webcrypto, X509Certificate } from 'node:crypto';
import { before, describe, test } from 'node:test';
import * as x509 from '@peculiar/x509';
import type { TrustBundle } from '../../src/certificates/index.ts';
import { type ClientCertificate, ClientChains, ClientTrust } from '../../src/connections/index.ts';
import { bundleOf, issueClient } from '../certificates/trust/support/bundle.ts';
import { generateKeys, signingKey } from '../support/keys.ts';
import { type Authority, createAuthority, type Leaf } from '../support/pki.ts';

x509.cryptoProvider.set(webcrypto as unknown as Crypto);

const minute = 60_000;
const start = Date.now();

let root: Authority;
let other: Authority;
before(async () => {
  root = await createAuthority();
  other = await createAuthority();
});

function shown(leaf: Leaf, more: Partial<ClientCertificate> = {}): ClientCertificate {
  return { chain: [leaf.x509], resumed: false, fault: null, ...more };
}

/** A trust whose bundles and clock can be changed. */
function trusting(bundles: Record<string, TrustBundle>) {
  const asked: string[] = [];
  const clock = { now: start };
  const trust = new ClientTrust(
    (name) => {
      asked.push(name);
      return bundles[name];
    },
    () => clock.now,
  );
  return { trust, clock, bundles };
}

describe('who is trusted', () => {
  test('a certificate that the bundle of that name vouches for, and no other bundle counts', async () => {
    const { trust } = trusting({ a: bundleOf(root.certificatePem), b: bundleOf(other.certificatePem) });
    const client = shown(await issueClient(root));
    assert.equal(trust.verdictOn(client, 'a').ok, true);
    assert.equal(trust.verdictOn(client, 'b').ok, false);
    assert.equal(trust.verdictOn(client, 'a').ok, true);
  });

  test('nobody, by a bundle that is not loaded', async () => {
    const { trust, bundles } = trusting({});
    const client = shown(await issueClient(root));
    const verdict = trust.verdictOn(client, 'a');
    assert.ok(!verdict.ok && verdict.detail.includes('the trust bundle a is not loaded'));
    bundles['a'] = bundleOf(root.certificatePem);
    assert.equal(trust.verdictOn(client, 'a').ok, true);
    delete bundles['a'];
    assert.equal(trust.verdictOn(client, 'a').ok, false);
  });

  test('nobody whom the TLS library holds something else against', async () => {
    const { trust } = trusting({ a: bundleOf(root.certificatePem) });
    const verdict = trust.verdictOn(shown(await issueClient(root), { fault: 'EE_KEY_TOO_SMALL' }), 'a');
    assert.deepEqual(verdict, { ok: false, reason: 'invalid', detail: 'EE_KEY_TOO_SMALL' });
  });

  test('no resumed session whose leaf leads nowhere: that the handshake went through once says nothing', async () => {
    const { trust } = trusting({ a: bundleOf(root.certificatePem) });
    const verdict = trust.verdictOn(shown(await issueClient(other), { resumed: true }), 'a');
    assert.ok(!verdict.ok && verdict.reason === 'unknown-authority');
    assert.equal(trust.verdictOn(shown(await issueClient(root), { resumed: true }), 'a').ok, true);
  });
});

describe('what was found once', () => {
  test('holds for one bundle: another of the same name is asked anew', async () => {
    const leaf = await issueClient(root);
    const { trust, bundles } = trusting({ a: bundleOf(root.certificatePem) });
    const client = shown(leaf);
    assert.equal(trust.verdictOn(client, 'a').ok, true);
    bundles['a'] = bundleOf(root.certificatePem, await root.crl([leaf]));
    const verdict = trust.verdictOn(client, 'a');
    assert.ok(!verdict.ok && verdict.reason === 'revoked');
    bundles['a'] = bundleOf(other.certificatePem);
    assert.equal(trust.verdictOn(client, 'a').ok, false);
    bundles['a'] = bundleOf(root.certificatePem);
    assert.equal(trust.verdictOn(client, 'a').ok, true);
  });

  test('is not worked out anew as long as it holds', async (t) => {
    const { trust, clock } = trusting({ a: bundleOf(root.certificatePem) });
    const client = shown(await issueClient(root));
    const verdict = trust.verdictOn(client, 'a');
    const checks = t.mock.method(Object.getPrototypeOf(client.chain[0]), 'checkIssued');
    clock.now += minute;
    assert.equal(trust.verdictOn(client, 'a'), verdict);
    assert.equal(checks.mock.callCount(), 0);
  });

  test('ends with the certificate', async () => {
    const leaf = await issueClient(root, { notAfter: new Date(start + minute) });
    const { trust, clock } = trusting({ a: bundleOf(root.certificatePem) });
    const client = shown(leaf);
    assert.equal(trust.verdictOn(client, 'a').ok, true);
    clock.now += minute + 1000;
    const verdict = trust.verdictOn(client, 'a');
    assert.ok(!verdict.ok && verdict.reason === 'expired');
  });

  test('and a refusal ends when the certificate becomes valid', async () => {
    const leaf = await issueClient(root, { notBefore: new Date(start + minute) });
    const { trust, clock } = trusting({ a: bundleOf(root.certificatePem) });
    const client = shown(leaf);
    const verdict = trust.verdictOn(client, 'a');
    assert.ok(!verdict.ok && verdict.reason === 'not-yet-valid');
    assert.equal(trust.verdictOn(client, 'a'), verdict, 'not with each request');
    clock.now += minute + 1000;
    assert.equal(trust.verdictOn(client, 'a').ok, true);
  });
});

describe('the chains of resumed sessions', () => {
  test('the intermediates that lead up from a leaf, whatever else was sent with it', async () => {
    const upper = await root.intermediate();
    const lower = await upper.intermediate();
    const forged = await createAuthority({ name: lower.name });
    const leaf = await issueClient(lower);
    const chains = new ClientChains();
    assert.deepEqual(chains.above(leaf.x509), []);
    chains.learn([leaf, forged, other, upper, lower].map(({ x509 }) => x509));
    const fingerprints = (leaf: Leaf) => chains.above(leaf.x509).map(({ fingerprint256 }) => fingerprint256);
    assert.deepEqual(
      fingerprints(leaf),
      [lower, upper].map(({ x509 }) => x509.fingerprint256),
    );
    assert.deepEqual(fingerprints(await issueClient(upper)), [upper.x509.fingerprint256], 'also for other leaves');
    assert.deepEqual(fingerprints(await issueClient(root)), []);
  });

  test('not one that bears the name of the issuer and did not sign', async () => {
    const keys = await generateKeys('ec-p256');
    // Without key identifiers, names are all there is.
    const made = await x509.X509CertificateGenerator.create({
      subject: 'CN=client',
      issuer: 'CN=issuer',
      publicKey: keys.publicKey.export({ type: 'spki', format: 'der' }),
      signingKey: signingKey(keys, 'SHA-256') as CryptoKey,
      signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
    });
    const leaf = new X509Certificate(Buffer.from(made.rawData));
    const forged = await createAuthority({ name: 'issuer' });
    const real = await createAuthority({ name: 'issuer', sameKeyAs: { keys } });
    const chains = new ClientChains();
    chains.learn([leaf, forged.x509, real.x509]);
    assert.deepEqual(
      chains.above(leaf).map(({ fingerprint256 }) => fingerprint256),
      [real.x509.fingerprint256],
    );
  });

  test('both of two cross-certified intermediates', async () => {
    const lower = await root.intermediate();
    const crossed = await createAuthority({ name: lower.name, sameKeyAs: lower, parent: other });
    const leaf = await issueClient(lower);
    const chains = new ClientChains();
    chains.learn([leaf, lower, crossed].map(({ x509 }) => x509));
    assert.equal(chains.above(leaf.x509).length, 2);
  });

  test('are bounded: what was not seen for longest goes', async () => {
    const chains = new ClientChains(2);
    const intermediates = await Promise.all([1, 2, 3].map(() => root.intermediate()));
    const leaves = await Promise.all(intermediates.map((above) => issueClient(above)));
    for (const i of [0, 1, 0, 2]) chains.learn([leaves[i]?.x509, intermediates[i]?.x509].filter((one) => !!one));
    assert.deepEqual(
      leaves.map(({ x509 }) => chains.above(x509).length),
      [1, 0, 1],
    );
  });
});
