import assert from 'node:assert/strict';
import { test } from 'node:test';
import { expiryLead } from '../src/certificates/index.ts';
import { temporaryDirectory, writePair } from '../test/support/files.ts';
import { createAuthority } from '../test/support/pki.ts';
import { openHttp1, shownTo } from './support/clients.ts';
import { startHeldUpstream } from './support/held-upstream.ts';
import { bounded, type RunningSwivel, startSwivel } from './support/swivel.ts';
import { until } from './support/until.ts';

/** A moment this many seconds from now, on a whole second as certificates have it. */
const inSeconds = (seconds: number) => new Date(Math.ceil(Date.now() / 1000 + seconds) * 1000);

const statusOf = async (swivel: RunningSwivel, id: string) =>
  (await swivel.status()).certificates.find((one) => one.id === id);

test('a certificate that is not valid yet waits, and is served from the moment it is', bounded, async (t) => {
  const authority = await createAuthority();
  const directory = await temporaryDirectory(t);
  const old = await authority.issue({ names: ['app.test'] });
  await writePair(directory, 'app', old);
  // This one waits from the start, and has nobody to stand in for it.
  const alone = await authority.issue({ names: ['alone.test'], notBefore: inSeconds(15) });
  await writePair(directory, 'alone', alone);
  const upstream = await startHeldUpstream(t);
  const drain = { spread: '0s' };
  const swivel = await startSwivel(t, { certs: directory, upstream: upstream.url, config: { drain } });
  const door = { port: swivel.port, ca: authority.certificatePem };
  const client = await openHttp1(t, door, 'app.test');
  const isPending = (id: string) => (line: object) =>
    (line as { event?: string }).event === 'pending' && (line as { certificate?: string }).certificate === id;
  const isRotation = (to: string) => (line: object) =>
    (line as { event?: string }).event === 'rotation' && (line as { to?: string }).to === to;

  await t.test('one that is alone does not keep the others from being served', async () => {
    await swivel.process.line(isPending('alone'));
    const { state, fingerprint256, lastError, diskMatchesServed } = (await statusOf(swivel, 'alone')) ?? {};
    assert.deepEqual([state, fingerprint256, diskMatchesServed], ['pending', null, false]);
    assert.equal(lastError?.code, 'CERT_NOT_YET_VALID');
    assert.equal((await swivel.ready()).status, 200);
    assert.equal(await shownTo({ port: swivel.port }, 'alone.test'), old.fingerprint256, 'the default stands in');
  });

  const renewed = await authority.issue({ names: ['app.test'], notBefore: inSeconds(6) });
  await t.test('the old one is served until then', async () => {
    await writePair(directory, 'app', renewed);
    const line = await swivel.process.line(isPending('app'));
    assert.equal(line['level'], 'info', 'this is nothing to be alarmed at');
    const { state, fingerprint256, lastError, diskMatchesServed } = (await statusOf(swivel, 'app')) ?? {};
    assert.deepEqual([state, fingerprint256, diskMatchesServed], ['pending', old.fingerprint256, false]);
    assert.equal(lastError?.code, 'CERT_NOT_YET_VALID');
    assert.equal(await shownTo(door, 'app.test'), old.fingerprint256);
    assert.equal((await client.get()).lastOne, false);
  });

  await t.test('then the new one, by the clock alone', async () => {
    const line = await swivel.process.line(isRotation(renewed.fingerprint256));
    assert.deepEqual([line['trigger'], line['from']], ['schedule', old.fingerprint256]);
    assert.ok(Date.parse(String(line['at'])) >= renewed.x509.validFromDate.getTime());
    assert.equal(await shownTo(door, 'app.test'), renewed.fingerprint256);
    assert.equal((await client.get()).lastOne, true);
    const first = await swivel.process.line(isRotation(alone.fingerprint256));
    assert.deepEqual([first['trigger'], first['from']], ['schedule', null]);
    assert.equal(await shownTo(door, 'alone.test'), alone.fingerprint256);
    for (const id of ['app', 'alone']) {
      const { state, diskMatchesServed, lastError } = (await statusOf(swivel, id)) ?? {};
      assert.deepEqual([state, diskMatchesServed, lastError], ['serving', true, null]);
    }
  });
});

test('a certificate that expires while it is served is served on, and readiness says so', bounded, async (t) => {
  const authority = await createAuthority();
  const directory = await temporaryDirectory(t);
  const notAfter = inSeconds(10);
  const brief = await authority.issue({ names: ['app.test'], notAfter });
  await writePair(directory, 'app', brief);
  await writePair(directory, 'other', await authority.issue({ names: ['other.test'] }));
  const swivel = await startSwivel(t, { certs: directory, upstream: 'http://127.0.0.1:9' });
  const readiness = async () => {
    const { status, body } = await swivel.ready();
    const { conditions } = body as unknown as { conditions: { type: string; status: string; reason: string }[] };
    const { status: holds, reason } = conditions.find(({ type }) => type === 'CertificatesValid') ?? {};
    return { status, holds, reason };
  };
  assert.deepEqual(await readiness(), { status: 200, holds: 'True', reason: 'Valid' });

  const line = await swivel.process.line((line) => line['code'] === 'CERT_EXPIRED');
  assert.equal(line['certificate'], 'app');
  assert.ok(Date.now() > notAfter.getTime() - expiryLead);
  assert.deepEqual(await readiness(), { status: 503, holds: 'False', reason: 'Expired' });
  const { state, fingerprint256, diskMatchesServed, lastError } = (await statusOf(swivel, 'app')) ?? {};
  assert.deepEqual([state, fingerprint256, diskMatchesServed], ['expired', brief.fingerprint256, true]);
  assert.equal(lastError?.code, 'CERT_EXPIRED');
  assert.equal((await statusOf(swivel, 'other'))?.state, 'serving');
  assert.equal(await shownTo({ port: swivel.port }, 'app.test'), brief.fingerprint256);
  assert.deepEqual((await swivel.status()).rotations, []);

  const renewed = await authority.issue({ names: ['app.test'] });
  await writePair(directory, 'app', renewed);
  await until('it is ready again', async () => (await swivel.ready()).status === 200);
  assert.deepEqual(await readiness(), { status: 200, holds: 'True', reason: 'Valid' });
  const door = { port: swivel.port, ca: authority.certificatePem };
  assert.equal(await shownTo(door, 'app.test'), renewed.fingerprint256);
});
