import '../../support/reflect-metadata.ts';
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import * as x509 from '@peculiar/x509';
import { type RefusalReason, verifyClient } from '../../../src/certificates/index.ts';
import { readCertificate } from '../../../src/certificates/trust/certificate.ts';
import { pathsOf } from '../../../src/certificates/trust/paths.ts';
import { temporaryDirectory } from '../../support/files.ts';
import { type Authority, createAuthority, type Leaf, selfSigned } from '../../support/pki.ts';
import { bundleOf, issueClient } from './support/bundle.ts';

const run = promisify(execFile);
const DAY = 24 * 3_600_000;
const now = Date.now();
const past = { notBefore: new Date(now - 20 * DAY), notAfter: new Date(now - DAY) };
const future = { notBefore: new Date(now + DAY), notAfter: new Date(now + 20 * DAY) };
const { digitalSignature, cRLSign, keyEncipherment } = x509.KeyUsageFlags;

type Certified = Pick<Leaf | Authority, 'certificatePem'>;

interface Situation {
  readonly trusted: readonly Certified[];
  readonly crls?: readonly string[];
  /** As the client sends it: the leaf first. */
  readonly sent: readonly Certified[];
  readonly expected: 'ok' | RefusalReason;
  /** Why OpenSSL says something else, and is not asked. */
  readonly differs?: string;
}

let root: Authority;
let other: Authority;
let upper: Authority;
let client: Leaf;

before(async () => {
  root = await createAuthority({ name: 'Root' });
  other = await createAuthority({ name: 'Other root' });
  upper = await root.intermediate({ name: 'Issuing CA' });
  client = await issueClient(upper);
});

/** A chain of intermediates below the root, highest first, and a client of the lowest. */
async function ladder(...options: Parameters<Authority['intermediate']>[0][]) {
  const steps: Authority[] = [];
  for (const one of options) steps.push(await (steps.at(-1) ?? root).intermediate(one));
  const leaf = await issueClient(steps.at(-1) ?? root);
  return { steps, leaf, sent: [leaf, ...steps.toReversed()] };
}

const rungs = (count: number) => ladder(...Array.from({ length: count }, () => ({})));

const situations: Readonly<Record<string, () => Promise<Situation>>> = {
  'a client of a root': async () => ({ trusted: [root], sent: [await issueClient(root)], expected: 'ok' }),
  'a client of an intermediate that it sends': async () => ({ trusted: [root], sent: [client, upper], expected: 'ok' }),
  'a client that sends the root too': async () => ({ trusted: [root], sent: [client, upper, root], expected: 'ok' }),
  'intermediates in another order': async () => {
    const { steps, leaf } = await rungs(3);
    return { trusted: [root], sent: [leaf, ...steps], expected: 'ok' };
  },
  'certificates that belong to nothing': async () => ({
    trusted: [root],
    sent: [client, other, await issueClient(other), upper],
    expected: 'ok',
  }),
  'an intermediate that only the bundle has': async () => ({
    trusted: [root, upper],
    sent: [client],
    expected: 'ok',
  }),
  'an intermediate as the only anchor': async () => ({ trusted: [upper], sent: [client], expected: 'ok' }),
  'an intermediate as the only anchor, which is sent too': async () => ({
    trusted: [upper],
    sent: [client, upper],
    expected: 'ok',
  }),
  'several authorities': async () => ({ trusted: [other, root], sent: [client, upper], expected: 'ok' }),
  'eight certificates': async () => ({ trusted: [root], sent: (await rungs(6)).sent, expected: 'ok' }),
  'nine certificates': async () => ({
    trusted: [root],
    sent: (await rungs(7)).sent,
    expected: 'unknown-authority',
    differs: 'has no such bound',
  }),
  'another authority': async () => ({ trusted: [other], sent: [client, upper], expected: 'unknown-authority' }),
  'another authority of the same name': async () => ({
    trusted: [await createAuthority({ name: 'Root' })],
    sent: [await issueClient(root)],
    expected: 'unknown-authority',
  }),
  'two authorities of the same name': async () => ({
    trusted: [await createAuthority({ name: 'Root' }), root, await createAuthority({ name: 'Root' })],
    sent: [await issueClient(root)],
    expected: 'ok',
  }),
  'an intermediate of the same name and another key': async () => ({
    trusted: [root],
    sent: [client, await root.intermediate({ name: 'Issuing CA' })],
    expected: 'unknown-authority',
  }),
  'two intermediates of the same name': async () => ({
    trusted: [root],
    sent: [client, await root.intermediate({ name: 'Issuing CA' }), upper],
    expected: 'ok',
  }),
  'an intermediate that is missing': async () => ({
    trusted: [root],
    sent: [client],
    expected: 'unknown-authority',
  }),
  'a self-signed client': async () => ({
    trusted: [root],
    sent: [await selfSigned({ eku: ['clientAuth'], usages: digitalSignature })],
    expected: 'unknown-authority',
  }),
  'a client that brings its own root': async () => {
    const own = await createAuthority();
    return { trusted: [root], sent: [await issueClient(own), own], expected: 'unknown-authority' };
  },
  'a CA that is its own client': async () => {
    const both = await createAuthority({ usages: null });
    return { trusted: [both], sent: [both], expected: 'ok' };
  },
  'an expired client': async () => ({
    trusted: [root],
    sent: [await issueClient(upper, past), upper],
    expected: 'expired',
  }),
  'a client that is not yet valid': async () => ({
    trusted: [root],
    sent: [await issueClient(upper, future), upper],
    expected: 'not-yet-valid',
  }),
  'an expired intermediate': async () => ({ trusted: [root], sent: (await ladder(past)).sent, expected: 'expired' }),
  'an intermediate that is not yet valid': async () => ({
    trusted: [root],
    sent: (await ladder(future)).sent,
    expected: 'not-yet-valid',
  }),
  'an expired authority': async () => {
    const old = await createAuthority(past);
    return { trusted: [old], sent: [await issueClient(old)], expected: 'expired' };
  },
  'an expired authority that was renewed with its key': async () => {
    const old = await createAuthority({ name: 'Renewed', ...past });
    const renewed = await createAuthority({ name: 'Renewed', sameKeyAs: old });
    return { trusted: [old, renewed], sent: [await issueClient(old)], expected: 'ok' };
  },
  'an authority that has a new key, old client': async () => {
    const old = await createAuthority({ name: 'Rekeyed' });
    const rekeyed = await createAuthority({ name: 'Rekeyed' });
    return { trusted: [rekeyed, old], sent: [await issueClient(old)], expected: 'ok' };
  },
  'a cross-signed intermediate whose other root is not trusted': async () => {
    const { steps, leaf } = await rungs(1);
    const [step] = steps as [Authority];
    const crossed = await other.intermediate({ name: step.name, sameKeyAs: step });
    const differs = 'goes only the first way';
    return { trusted: [root], sent: [leaf, crossed, step], expected: 'ok', differs };
  },
  'a cross-signed root': async () => {
    const crossed = await other.intermediate({ name: root.name, sameKeyAs: root });
    return { trusted: [other], sent: [client, upper, crossed], expected: 'ok' };
  },
  'a cross-signed intermediate of which one certificate expired': async () => {
    const { steps, leaf } = await ladder(past);
    const [step] = steps as [Authority];
    const crossed = await other.intermediate({ name: step.name, sameKeyAs: step });
    return {
      trusted: [root, other],
      sent: [leaf, step, crossed],
      expected: 'ok',
    };
  },
  'more intermediates than the root allows': async () => {
    const narrow = await createAuthority({ pathLength: 0 });
    const step = await narrow.intermediate();
    return { trusted: [narrow], sent: [await issueClient(step), step], expected: 'invalid' };
  },
  'more intermediates than an intermediate allows': async () => ({
    trusted: [root],
    sent: (await ladder({ pathLength: 0 }, {})).sent,
    expected: 'invalid',
  }),
  'as many intermediates as are allowed': async () => ({
    trusted: [root],
    sent: (await ladder({ pathLength: 1 }, { pathLength: 0 })).sent,
    expected: 'ok',
  }),
  'a new key of an intermediate, which does not count': async () => {
    const { steps } = await ladder({ pathLength: 0, name: 'Rolling' });
    const [step] = steps as [Authority];
    const rolled = await step.intermediate({ name: 'Rolling' });
    return { trusted: [root], sent: [await issueClient(rolled), rolled, step], expected: 'ok' };
  },
  'a client certificate that issues': async () => ({
    trusted: [root],
    sent: (await ladder({ noCa: true })).sent,
    expected: 'invalid',
  }),
  'an intermediate whose key usage does not allow it': async () => ({
    trusted: [root],
    sent: (await ladder({ usages: cRLSign })).sent,
    expected: 'invalid',
  }),
  'an authority without key usage': async () => {
    const free = await createAuthority({ usages: null });
    return { trusted: [free], sent: [await issueClient(free)], expected: 'ok' };
  },
  'a certificate of a server': async () => ({
    trusted: [root],
    sent: [await issueClient(root, { eku: ['serverAuth'] })],
    expected: 'not-for-clients',
  }),
  'a certificate of a server and client': async () => ({
    trusted: [root],
    sent: [await issueClient(root, { eku: ['serverAuth', 'clientAuth'] })],
    expected: 'ok',
  }),
  'a certificate for any purpose': async () => ({
    trusted: [root],
    sent: [await issueClient(root, { eku: ['2.5.29.37.0'] })],
    expected: 'ok',
    differs: 'of this age takes only clientAuth itself',
  }),
  'a certificate that names no purpose': async () => ({
    trusted: [root],
    sent: [await issueClient(root, { eku: null })],
    expected: 'ok',
  }),
  'a key that may not sign': async () => ({
    trusted: [root],
    sent: [await issueClient(root, { usages: keyEncipherment })],
    expected: 'not-for-clients',
  }),
  'a certificate without key usage': async () => ({
    trusted: [root],
    sent: [await issueClient(root, { usages: null })],
    expected: 'ok',
  }),
  'an intermediate for servers only': async () => ({
    trusted: [root],
    sent: (await ladder({ eku: ['serverAuth'] })).sent,
    expected: 'not-for-clients',
  }),
  'an intermediate for clients': async () => ({
    trusted: [root],
    sent: (await ladder({ eku: ['clientAuth'] })).sent,
    expected: 'ok',
  }),
  'a critical extension that nobody knows': async () => {
    const extension = new x509.Extension('1.2.3.4', true, Buffer.from('0500', 'hex'));
    return { trusted: [root], sent: (await ladder({ extensions: [extension] })).sent, expected: 'invalid' };
  },
  'an extension that nobody knows': async () => {
    const extension = new x509.Extension('1.2.3.4', false, Buffer.from('0500', 'hex'));
    return { trusted: [root], sent: (await ladder({ extensions: [extension] })).sent, expected: 'ok' };
  },
  'an authority for some names only': async () => {
    const constraints = Buffer.from('300da00b3009820774657374657374', 'hex');
    const extension = new x509.Extension('2.5.29.30', true, constraints);
    return {
      trusted: [root],
      sent: (await ladder({ extensions: [extension] })).sent,
      expected: 'invalid',
    };
  },
  'a client signed with SHA-1': async () => {
    const rsa = await createAuthority({ keyType: 'rsa-2048' });
    return { trusted: [rsa], sent: [await issueClient(rsa, { hash: 'SHA-1' })], expected: 'invalid' };
  },
  'an intermediate signed with SHA-1': async () => {
    const rsa = await createAuthority({ keyType: 'rsa-2048' });
    const step = await rsa.intermediate({ hash: 'SHA-1' });
    return { trusted: [rsa], sent: [await issueClient(step), step], expected: 'invalid' };
  },
  'an intermediate signed with SHA-1 as the anchor, which does not matter': async () => {
    const rsa = await createAuthority({ keyType: 'rsa-2048' });
    const step = await rsa.intermediate({ hash: 'SHA-1' });
    return { trusted: [step], sent: [await issueClient(step)], expected: 'ok' };
  },
  'a root signed with SHA-1, which does not matter': async () => {
    const rsa = await createAuthority({ keyType: 'rsa-2048', hash: 'SHA-1' });
    return { trusted: [rsa], sent: [await issueClient(rsa)], expected: 'ok' };
  },
  'a CRL that names another': async () => ({
    trusted: [root],
    crls: [await root.crl([await issueClient(root)])],
    sent: [await issueClient(root)],
    expected: 'ok',
  }),
  'a revoked client': async () => {
    const leaf = await issueClient(root);
    return { trusted: [root], crls: [await root.crl([leaf])], sent: [leaf], expected: 'revoked' };
  },
  'a client whose serial number begins with zeros or ones': async () => {
    const leaf = await issueClient(root, { serial: '00ff00' });
    return { trusted: [root], crls: [await root.crl([leaf])], sent: [leaf], expected: 'revoked' };
  },
  'a client revoked by an outdated CRL': async () => {
    const leaf = await issueClient(root);
    const dates = { thisUpdate: new Date(now - 9 * DAY), nextUpdate: new Date(now - 2 * DAY) };
    return { trusted: [root], crls: [await root.crl([leaf], dates)], sent: [leaf], expected: 'revoked' };
  },
  'an outdated CRL that names another': async () => {
    const dates = { thisUpdate: new Date(now - 9 * DAY), nextUpdate: new Date(now - 2 * DAY) };
    return {
      trusted: [root],
      crls: [await root.crl([], dates)],
      sent: [await issueClient(root)],
      expected: 'ok',
      differs: 'refuses all when a CRL is outdated',
    };
  },
  'a client on the first of two CRLs': async () => {
    const leaf = await issueClient(root);
    // Of two, OpenSSL looks at the newer one only.
    const sameTime = { thisUpdate: new Date(Date.now() - 3_600_000) };
    return {
      trusted: [root],
      crls: [await root.crl([leaf], sameTime), await root.crl([], sameTime)],
      sent: [leaf],
      expected: 'revoked',
    };
  },
  'a client on the CRL of the new key of its issuer': async () => {
    const old = await createAuthority({ name: 'Rekeyed' });
    const rekeyed = await createAuthority({ name: 'Rekeyed' });
    const leaf = await issueClient(old);
    return {
      trusted: [old, rekeyed],
      crls: [await rekeyed.crl([leaf])],
      sent: [leaf],
      expected: 'revoked',
    };
  },
  'a client of an intermediate without CRL': async () => ({
    trusted: [root, upper],
    crls: [await root.crl([])],
    sent: [client],
    expected: 'ok',
    differs: 'demands the CRL of every issuer',
  }),
  'a revoked intermediate': async () => {
    const { steps, sent } = await rungs(1);
    return {
      trusted: [root],
      crls: [await root.crl(steps)],
      sent,
      expected: 'revoked',
    };
  },
  'a revoked intermediate that is in the bundle': async () => {
    const { steps, leaf } = await rungs(1);
    const [step] = steps as [Authority];
    return {
      trusted: [root, step],
      crls: [await root.crl(steps), await step.crl([])],
      sent: [leaf],
      expected: 'revoked',
    };
  },
};

const pems = (of: readonly Certified[]) => of.map(({ certificatePem }) => certificatePem).join('');

/** What OpenSSL says: whether it accepts, and its words. */
async function opensslSays(directory: string, { trusted, crls = [], sent }: Situation): Promise<[boolean, string]> {
  const [leaf, ...others] = sent as [Certified, ...Certified[]];
  const file = async (name: string, content: string) => {
    await writeFile(join(directory, name), content);
    return join(directory, name);
  };
  const revocation = crls.length > 0 ? ['-crl_check_all', '-CRLfile', await file('crls.pem', crls.join(''))] : [];
  const untrusted = others.length > 0 ? ['-untrusted', await file('others.pem', pems(others))] : [];
  // Security level 1: as in TLS, so that SHA-1 is refused. A partial chain: any CA is an anchor.
  const options = ['-purpose', 'sslclient', '-partial_chain', '-auth_level', '1', '-no-CApath', '-no-CAstore'];
  const authorities = ['-CAfile', await file('trusted.pem', pems(trusted))];
  const args = [
    'verify',
    ...options,
    ...authorities,
    ...untrusted,
    ...revocation,
    await file('leaf.pem', pems([leaf])),
  ];
  try {
    return [true, (await run('openssl', args)).stdout];
  } catch (error) {
    return [false, String((error as { stderr?: string }).stderr)];
  }
}

describe('a verdict', () => {
  for (const [name, make] of Object.entries(situations)) {
    test(`${name}`, async (t) => {
      const situation = await make();
      const { trusted, crls = [], sent, expected, differs } = situation;
      const chain = sent.map(({ certificatePem }) => new X509Certificate(certificatePem));
      const verdict = verifyClient(bundleOf(pems(trusted), ...crls), chain, now);
      const said = verdict.ok ? 'ok' : verdict.reason;
      assert.equal(said, expected, JSON.stringify(verdict));
      if (differs) return;
      const [accepts, words] = await opensslSays(await temporaryDirectory(t), situation);
      assert.equal(accepts, expected === 'ok', words);
    });
  }
});

test('trust lasts until the first certificate on the way expires, on the way that lasts longest', async () => {
  const at = (days: number) => ({ notAfter: new Date(Math.floor(now / 1000) * 1000 + days * DAY) });
  const old = await createAuthority({ name: 'Renewed', ...at(5) });
  const renewed = await createAuthority({ name: 'Renewed', sameKeyAs: old, ...at(500) });
  const long = await issueClient(old, at(90));
  const short = await issueClient(old, at(2));
  const until = (bundle: string, leaf: Leaf) => {
    const verdict = verifyClient(bundleOf(bundle), [leaf.x509], now);
    return verdict.ok && Math.round((verdict.trustedUntil - now) / DAY);
  };
  assert.equal(until(old.certificatePem, long), 5);
  assert.equal(until(old.certificatePem, short), 2);
  assert.equal(until(old.certificatePem + renewed.certificatePem, long), 90);
  assert.equal(until(renewed.certificatePem + old.certificatePem, long), 90);
});

test('the first and the last moment of a certificate are within it', () => {
  const bundle = bundleOf(root.certificatePem);
  const chain = [client.x509, upper.x509];
  const [first, last] = [Date.parse(client.x509.validFrom), Date.parse(client.x509.validTo)];
  const verdicts = [first - 1, first, last, last + 1].map((moment) => verifyClient(bundle, chain, moment));
  assert.deepEqual(
    verdicts.map((verdict) => (verdict.ok ? 'ok' : verdict.reason)),
    ['not-yet-valid', 'ok', 'ok', 'expired'],
  );
});

test('a chain of nothing is refused', () => {
  const verdict = verifyClient(bundleOf(root.certificatePem), [], now);
  assert.ok(!verdict.ok && verdict.reason === 'invalid');
});

test('a signature that was changed is not believed', () => {
  const bundle = bundleOf(root.certificatePem, upper.certificatePem);
  const raw = Buffer.from(client.x509.raw);
  const last = raw.length - 1;
  raw[last] = (raw[last] ?? 0) ^ 1;
  const verdict = verifyClient(bundle, [new X509Certificate(raw)], now);
  assert.ok(!verdict.ok && verdict.reason === 'unknown-authority');
});

test('a refusal names the certificate, in one line of bounded length', async () => {
  const leaf = await issueClient(root, { commonName: `x\\0A${'y'.repeat(900)}`.slice(0, 60), eku: ['serverAuth'] });
  const verdict = verifyClient(bundleOf(root.certificatePem), [leaf.x509], now);
  assert.ok(!verdict.ok);
  assert.match(verdict.detail, /^"CN=x.*y".*extendedKeyUsage/);
  assert.ok(!verdict.detail.includes('\n') && verdict.detail.length < 400);
});

test('what is sent beyond a bound is not looked at, and no key works that nobody vouches for', async (t) => {
  const maze: Authority[] = [];
  const first = await createAuthority({ name: 'Maze' });
  for (let i = 0; i < 40; i += 1) maze.push(await createAuthority({ name: 'Maze', sameKeyAs: first }));
  const chain = [await issueClient(first), ...maze].map((one) => one.x509);
  const bundle = bundleOf((await createAuthority({ name: 'Maze' })).certificatePem);
  const verify = t.mock.method(X509Certificate.prototype, 'verify');
  const raw = t.mock.getter(X509Certificate.prototype, 'raw');
  const verdict = verifyClient(bundle, chain, now);
  assert.ok(!verdict.ok && verdict.reason === 'unknown-authority');
  assert.ok(verify.mock.callCount() <= 16, `${verify.mock.callCount()} signatures`);
  assert.ok(raw.mock.callCount() <= 34, `${raw.mock.callCount()} certificates`);
});

test('a maze of certificates ends the search, which goes through none of them twice', async () => {
  const maze: Authority[] = [];
  const first = await createAuthority({ name: 'Maze' });
  for (let i = 0; i < 10; i += 1) maze.push(await createAuthority({ name: 'Maze', sameKeyAs: first }));
  const read = ({ x509: certificate }: Leaf | Authority) => ({ certificate, facts: readCertificate(certificate.raw) });
  const paths = [...pathsOf(bundleOf(first.certificatePem), read(await issueClient(first)), maze.map(read))];
  assert.ok(paths.length > 10 && paths.length <= 256, `${paths.length} paths`);
  for (const { certificates } of paths) {
    assert.ok(certificates.length < 8);
    assert.equal(new Set(certificates).size, certificates.length);
  }
});
