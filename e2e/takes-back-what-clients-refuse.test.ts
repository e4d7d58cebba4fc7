import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { temporaryDirectory, writeAtomically, writePair } from '../test/support/files.ts';
import { createAuthority } from '../test/support/pki.ts';
import { shownTo } from './support/clients.ts';
import { serviceOf, startModestLoad } from './support/modest-load.ts';
import { curl, curlDistrusts, openssl } from './support/real-clients.ts';
import { bounded, startSwivel } from './support/swivel.ts';
import { until } from './support/until.ts';

const host = 'app.test';

/** An old authority and a new one, a certificate of the old one that is served, and one of the new one to come. */
async function prepare(t: TestContext, duration: string) {
  const [old, fresh] = [await createAuthority(), await createAuthority()];
  const base = await temporaryDirectory(t);
  const directory = await temporaryDirectory(t);
  const oldFile = join(base, 'old-ca.pem');
  const bothFile = join(base, 'both.pem');
  const both = old.certificatePem + fresh.certificatePem;
  await writeAtomically(oldFile, old.certificatePem);
  await writeAtomically(bothFile, both);
  const served = await old.issue({ names: [host] });
  const next = await fresh.issue({ names: [host] });
  await writePair(directory, 'app', served);
  const upstream = await serviceOf(t);
  const swivel = await startSwivel(t, {
    certs: directory,
    upstream: upstream.url,
    config: { rotation: { canary: { share: '50%', duration } }, drain: { spread: '0s' } },
  });
  const load = await startModestLoad(t, swivel, host, both);
  const statusOf = async () => {
    const [status] = (await swivel.status()).certificates;
    assert.ok(status);
    return status;
  };
  /** Visits by clients that trust both, until both were shown. */
  const someGetEach = async () => {
    const shown = new Set<string>();
    while (shown.size < 2) shown.add(await shownTo({ port: swivel.port, ca: both }, host));
    assert.deepEqual(shown, new Set([served.fingerprint256, next.fingerprint256]));
  };
  const canaryBegins = async () => {
    await writePair(directory, 'app', next);
    const line = await swivel.process.line(({ event }) => event === 'canary');
    assert.deepEqual([line['certificate'], line['to']], ['app', next.fingerprint256]);
    const { state, fingerprint256, diskMatchesServed, lastError, canary } = await statusOf();
    assert.deepEqual([state, fingerprint256, diskMatchesServed], ['canary', served.fingerprint256, false]);
    assert.equal(lastError?.code, 'CANARY_RUNNING');
    assert.deepEqual([canary?.fingerprint256, canary?.promoteAt], [next.fingerprint256, line['promoteAt']]);
    return line;
  };
  return { old, directory, oldFile, bothFile, both, served, next, swivel, load, statusOf, someGetEach, canaryBegins };
}

describe('a canary', { concurrency: true }, () => {
  test('a certificate that real clients refuse is taken back before all of them get it', bounded, async (t) => {
    const { old, directory, oldFile, both, served, swivel, load, ...rest } = await prepare(t, '1h');
    const { statusOf, someGetEach, canaryBegins } = rest;
    const { port } = swivel;
    const strict = ['-verify_return_error', '-CAfile', oldFile];
    const refusals = async () =>
      (await swivel.metric('swivel_certificate_refusals_total', { certificate: 'app' })) ?? 0;
    let refused = 0;

    await t.test('before it comes, clients are content', async () => {
      assert.equal((await curl(port, host, oldFile)).code, 0);
      assert.equal((await openssl(port, host, strict)).code, 0);
      assert.equal(await refusals(), 0);
    });

    await t.test('some clients get it first', async () => {
      await canaryBegins();
      await someGetEach();
    });

    await t.test('those that do not trust it decide', async () => {
      const isTakenBack = () => swivel.process.lines.some(({ code }) => code === 'CANARY_REJECTED');
      for (let i = 0; !isTakenBack() && i < 200; i += 1) {
        const { code, stderr } = await curl(port, host, oldFile);
        if (code !== 0) assert.equal(code, curlDistrusts, stderr);
        const { code: verified, stderr: why } = await openssl(port, host, strict);
        if (verified !== 0) assert.match(why, /verify error|unable to get local issuer/);
        refused += Number(code !== 0) + Number(verified !== 0);
      }
      const line = await swivel.process.line(({ code }) => code === 'CANARY_REJECTED');
      assert.deepEqual([line.event, line['certificate'], line['level']], ['rejected', 'app', 'error']);
      const [, ofCanary, handshakes, ofStable] =
        /clients refused \S+ in (\d+) of (\d+) handshakes, the one before in (\d+) of \d+ handshakes$/.exec(
          String(line['message']),
        ) ?? [];
      assert.ok(Number(ofCanary) >= 3 && Number(ofCanary) <= refused, String(line['message']));
      assert.ok(Number(handshakes) >= Number(ofCanary));
      assert.equal(ofStable, '0');
      assert.equal(await refusals(), refused);
      const { state, fingerprint256, diskMatchesServed, lastError, canary } = await statusOf();
      assert.deepEqual([state, fingerprint256, diskMatchesServed], ['held', served.fingerprint256, false]);
      assert.deepEqual([lastError?.code, lastError?.message], ['CANARY_REJECTED', line['message']]);
      assert.equal(canary, undefined);
      const rejected = { certificate: 'app', result: 'rejected' };
      assert.equal(await swivel.metric('swivel_certificate_reloads_total', rejected), 1);
    });

    await t.test('then all clients get the one before, whatever looks again', async () => {
      assert.equal((await swivel.reload()).results[0]?.code, 'CANARY_REJECTED');
      for (let i = 0; i < 30; i += 1) assert.equal(await shownTo({ port, ca: both }, host), served.fingerprint256);
      for (let i = 0; i < 5; i += 1) {
        assert.equal((await curl(port, host, oldFile)).code, 0);
        assert.equal((await openssl(port, host, strict)).code, 0);
      }
      assert.equal(await refusals(), refused);
      assert.deepEqual((await swivel.status()).rotations, []);
    });

    await t.test('the next certificate gets its own trial', async () => {
      const renewed = await old.issue({ names: [host] });
      await writePair(directory, 'app', renewed);
      await swivel.process.line(({ event, to }) => event === 'canary' && to === renewed.fingerprint256);
      assert.equal((await statusOf()).state, 'canary');
    });

    await t.test('clients that trust both noticed none of it', () => load.unharmed());
  });

  test('a certificate that clients take is promoted after its time', bounded, async (t) => {
    const { bothFile, both, served, next, swivel, load, statusOf, someGetEach, canaryBegins } = await prepare(t, '2s');
    const { promoteAt } = await canaryBegins();
    await someGetEach();
    const strict = ['-verify_return_error', '-CAfile', bothFile];
    for (let i = 0; i < 3; i += 1) {
      assert.equal((await curl(swivel.port, host, bothFile)).code, 0);
      assert.equal((await openssl(swivel.port, host, strict)).code, 0);
    }
    const line = await swivel.process.line(({ event }) => event === 'rotation');
    assert.deepEqual([line['from'], line['to']], [served.fingerprint256, next.fingerprint256]);
    assert.equal(line['trigger'], 'schedule');
    assert.ok(Date.parse(String(line['at'])) >= Date.parse(String(promoteAt)));
    for (let i = 0; i < 20; i += 1) {
      assert.equal(await shownTo({ port: swivel.port, ca: both }, host), next.fingerprint256);
    }
    await until('the status says so', async () => (await statusOf()).diskMatchesServed);
    const { state, fingerprint256, lastError, canary } = await statusOf();
    assert.deepEqual([state, fingerprint256], ['serving', next.fingerprint256]);
    assert.deepEqual([lastError, canary], [null, undefined]);
    assert.equal(await swivel.metric('swivel_certificate_refusals_total', { certificate: 'app' }), undefined);
    await load.unharmed();
  });
});
