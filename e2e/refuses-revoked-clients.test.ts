import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { present } from '../test/proxy/support/mutual.ts';
import { createAuthority } from '../test/support/pki.ts';
import { startMutual } from './support/client-certificates.ts';
import { startHeldUpstream } from './support/held-upstream.ts';
import { bounded } from './support/swivel.ts';

const client = { names: ['client.test'], eku: ['clientAuth'] };
const host = 'admin.test';

test('a CRL, then another CA, taken up while it runs: without signal, by rename alone', bounded, async (t) => {
  const [old, next] = [await createAuthority(), await createAuthority()];
  const upstream = await startHeldUpstream(t);
  const door = await startMutual(t, {
    names: [host],
    upstream: upstream.url,
    trust: { 'ca.crt': old.certificatePem },
    clientCertificates: { mode: 'required' },
    config: { drain: { timeout: '20s', spread: '0s' } },
  });
  const [aliceLeaf, bobLeaf, carolLeaf] = [await old.issue(client), await old.issue(client), await next.issue(client)];
  const [alice, bob, carol] = [
    await door.clientFiles('alice', aliceLeaf),
    await door.clientFiles('bob', bobLeaf),
    await door.clientFiles('carol', carolLeaf),
  ];
  const sessionFile = (name: string) => join(door.directory, `${name}.session`);
  const tls = (version: string, name: string, ...flags: readonly string[]) =>
    door.openssl(
      host,
      version,
      '-cert',
      join(door.directory, `${name}.crt`),
      '-key',
      join(door.directory, `${name}.key`),
      ...flags,
    );
  const status = async (flags: readonly string[]) => (await door.curl(host, ...flags)).status;
  assert.deepEqual([await status(alice), await status(bob), await status(carol)], [200, 200, 403]);

  const ca = await readFile(join(door.directory, 'ca.crt'), 'utf8');
  const open = (leaf: typeof aliceLeaf) => present(t, { port: door.port, ca }, { leaf, servername: host });
  const [ofAlice, ofBob] = [await open(aliceLeaf), await open(bobLeaf)];
  for (const one of [ofAlice, ofBob]) assert.equal((await one.get(host)).status, 200);
  ofAlice.send(`GET /hold/alice HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
  await upstream.arrived('alice');
  for (const version of ['-tls1_2', '-tls1_3']) {
    await tls(version, 'alice', '-sess_out', sessionFile(version));
    const again = await tls(version, 'alice', '-sess_in', sessionFile(version));
    assert.match(again, /Reused, TLS/);
    assert.match(again, /HTTP\/1\.1 200/);
  }

  await door.change(async () => door.trust.write('revoked.crl', await old.crl([aliceLeaf])));

  await t.test('the revoked client gets in no more, on no new connection and by no old session', async () => {
    assert.deepEqual([await status(alice), await status(bob)], [403, 200]);
    assert.deepEqual([await status(['--http1.1', ...alice]), await status(['--http1.1', ...bob])], [403, 200]);
    for (const version of ['-tls1_2', '-tls1_3']) {
      const again = await tls(version, 'alice', '-sess_in', sessionFile(version));
      assert.match(again, /New, TLS/);
      assert.match(again, /HTTP\/1\.1 403/);
    }
  });

  await t.test('what it had in flight is answered, and that is the last on its connection', async () => {
    upstream.release('alice');
    const { status, body, fields } = await ofAlice.response();
    assert.deepEqual([status, body], [200, 'released alice']);
    assert.equal(fields[fields.findIndex((name) => name.toLowerCase() === 'connection') + 1], 'close');
    await ofAlice.closed;
    assert.equal((await ofBob.get(host)).status, 200);
  });

  await t.test('the status knows the CRL', async () => {
    const [bundle] = (await door.status()).trust;
    assert.deepEqual([bundle?.authorities, bundle?.crls, bundle?.lastError], [1, 1, null]);
  });

  await t.test('a damaged CRL changes nothing, and the status says so', async () => {
    await door.trust.write('revoked.crl', '-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n');
    assert.equal(await door.error(), 'TRUST_UNPARSABLE');
    assert.deepEqual([await status(alice), await status(bob)], [403, 200]);
    await door.trust.write('revoked.crl', await old.crl([aliceLeaf]));
  });

  await t.test('another CA beside the old one, then alone', async () => {
    await door.change(() => door.trust.write('next.crt', next.certificatePem));
    assert.deepEqual([await status(alice), await status(bob), await status(carol)], [403, 200, 200]);
    assert.equal((await ofBob.get(host)).status, 200);
    await door.change(async () => {
      await door.trust.write('revoked.crl', await next.crl([]));
      await door.trust.write('ca.crt', next.certificatePem);
    });
    await door.settled(1);
    assert.deepEqual([await status(alice), await status(bob), await status(carol)], [403, 403, 200]);
    const last = await ofBob.get(host);
    assert.equal(last.status, 403);
    await ofBob.closed;
  });
});

test('connections of revoked clients are cut, whatever is in flight, where that is configured', bounded, async (t) => {
  const authority = await createAuthority();
  const upstream = await startHeldUpstream(t);
  const door = await startMutual(t, {
    names: [host],
    upstream: upstream.url,
    trust: { 'ca.crt': authority.certificatePem },
    clientCertificates: { mode: 'required' },
    // A drain would wait for the answer, which does not come.
    config: { drain: { untrusted: 'cut', timeout: '1h' } },
  });
  const leaf = await authority.issue(client);
  const ca = await readFile(join(door.directory, 'ca.crt'), 'utf8');
  const busy = await present(t, { port: door.port, ca }, { leaf, servername: host });
  busy.send(`GET /hold/busy HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
  await upstream.arrived('busy');
  await door.change(async () => door.trust.write('revoked.crl', await authority.crl([leaf])));
  await busy.closed;
});
