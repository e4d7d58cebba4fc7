import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createAuthority } from '../test/support/pki.ts';
import { startMutual } from './support/client-certificates.ts';
import { bounded } from './support/swivel.ts';

const client = { names: ['client.test'], eku: ['clientAuth'] };

test('curl and openssl meet the rule of each host, and upstream learns who they are', bounded, async (t) => {
  const [staff, stranger] = [await createAuthority({ name: 'Staff CA' }), await createAuthority()];
  const door = await startMutual(t, {
    names: ['open.test', 'admin.test', 'off.test'],
    trust: { 'ca.crt': staff.certificatePem },
    clientCertificates: {
      mode: 'optional',
      hosts: { 'Admin.test': { mode: 'required' }, 'off.test': { mode: 'off' } },
    },
    config: { proxy: { clientCertificateHeaders: { xfcc: 'X-Forwarded-Client-Cert', subject: 'X-Client' } } },
  });
  const leaf = await staff.issue({ ...client, commonName: 'Alice' });
  const below = await (await staff.intermediate()).issue({ ...client, commonName: 'Below' });
  const alice = await door.clientFiles('alice', leaf);
  const intermediate = await door.clientFiles('below', below);
  const unknown = await door.clientFiles('stranger', await stranger.issue(client));

  for (const version of ['--http1.1', '--http2']) {
    await t.test(`curl ${version}`, async () => {
      const ask = async (host: string, ...flags: readonly string[]) => {
        const { status, body } = await door.curl(host, version, ...flags);
        return [status, /^[A-Z_]+(?=: )/.exec(body)?.[0] ?? null];
      };
      assert.deepEqual(await ask('open.test'), [200, null]);
      assert.deepEqual(await ask('admin.test'), [403, 'CLIENT_CERTIFICATE_REQUIRED']);
      assert.deepEqual(await ask('admin.test', ...alice), [200, null]);
      assert.deepEqual(await ask('admin.test', ...intermediate), [200, null]);
      assert.deepEqual(await ask('admin.test', ...unknown), [403, 'CLIENT_CERTIFICATE_REJECTED']);
      assert.deepEqual(await ask('open.test', ...unknown), [403, 'CLIENT_CERTIFICATE_REJECTED']);
      assert.deepEqual(await ask('off.test', ...unknown), [200, null]);
      assert.deepEqual(await ask('open.test', '-H', 'Host: admin.test'), [421, 'REQUEST_MISDIRECTED']);
      const { body } = await door.curl('admin.test', version, ...alice, '-H', 'X-Client: CN=root', '-H', 'X_Client: y');
      assert.match(body, /x-client.{0,5}CN=Alice/i);
      assert.ok(body.includes(`Hash=${leaf.fingerprint256}`), body);
      assert.doesNotMatch(body, /CN=root|x_client/i);
      const without = await door.curl(
        'open.test',
        version,
        '-H',
        'X-Forwarded-Client-Cert: Hash=1',
        '-H',
        'X-Client: x',
      );
      assert.doesNotMatch(without.body, /x-client|client-cert/i);
    });
  }

  for (const version of ['-tls1_2', '-tls1_3']) {
    await t.test(`openssl s_client ${version} is told whose certificates are good`, async () => {
      const files = ['-cert', alice[1] ?? '', '-key', alice[3] ?? ''];
      const output = await door.openssl('admin.test', version, ...files);
      assert.match(output, /HTTP\/1\.1 200/);
      assert.match(output, /Acceptable client certificate CA names\nCN ?= ?Staff CA\n/);
      assert.match(await door.openssl('admin.test', version), /HTTP\/1\.1 403/);
    });
  }

  await t.test('the status shows the bundle', async () => {
    const [bundle, ...more] = (await door.status()).trust;
    assert.deepEqual(more, []);
    assert.deepEqual([bundle?.id, bundle?.authorities, bundle?.crls], ['clients', 1, 0]);
    assert.equal(bundle?.diskMatchesServed, true);
  });
});
