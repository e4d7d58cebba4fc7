import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ReloadAnswer } from '../src/admin/index.ts';
import { temporaryDirectory, writeAtomically, writePair } from '../test/support/files.ts';
import { createAuthority } from '../test/support/pki.ts';
import { openHttp1, openHttp2, openWebSocket, shownTo } from './support/clients.ts';
import { serviceOf, startModestLoad } from './support/modest-load.ts';
import { isResumed, openssl } from './support/real-clients.ts';
import { bounded, runSwivel, startSwivel } from './support/swivel.ts';
import { until } from './support/until.ts';

const host = 'tls.test';
const versions = ['-tls1_2', '-tls1_3'] as const;

test(
  'a compromised certificate loses its connections and sessions at once, and its key for ever',
  bounded,
  async (t) => {
    const authority = await createAuthority();
    const base = await temporaryDirectory(t);
    const directory = await temporaryDirectory(t);
    const caFile = join(base, 'ca.pem');
    await writeAtomically(caFile, authority.certificatePem);
    const exposed = await authority.issue({ names: [host] });
    const other = await authority.issue({ names: ['other.test'] });
    await writePair(directory, 'tls', exposed);
    await writePair(directory, 'other', other);
    const upstream = await serviceOf(t);
    const swivel = await startSwivel(t, { certs: directory, upstream: upstream.url });
    const door = { port: swivel.port, ca: authority.certificatePem };
    const load = await startModestLoad(t, swivel, 'other.test', authority.certificatePem);
    const cli = (...args: string[]) => runSwivel([...args, '--admin', swivel.adminUrl]);
    const statusOf = async (id: string) => (await swivel.status()).certificates.find((one) => one.id === id);

    const sessionOf = (version: string) => join(base, `session${version}`);
    const strict = ['-verify_return_error', '-CAfile', caFile];
    const resume = async (version: string) => {
      const visit = await openssl(swivel.port, host, [version, ...strict, '-sess_in', sessionOf(version)]);
      assert.equal(visit.code, 0, visit.stderr);
      return isResumed(visit);
    };
    const http1 = [await openHttp1(t, door, host), await openHttp1(t, door, host)];
    const http2 = await openHttp2(t, door, host);
    const webSocket = await openWebSocket(t, door, host);
    const untouched = await openHttp1(t, door, 'other.test');
    const untouchedHttp2 = await openHttp2(t, door, 'other.test');
    const untouchedWebSocket = await openWebSocket(t, door, 'other.test');

    await t.test('sessions are resumed as long as nothing is wrong', async () => {
      for (const version of versions) {
        await openssl(swivel.port, host, [version, ...strict, '-sess_out', sessionOf(version)]);
        assert.equal(await resume(version), true, version);
      }
    });

    await t.test('of an id that does not exist nothing is done', async () => {
      const { code, stderr } = await cli('reload', '--compromised', 'nobody');
      assert.equal(code, 1);
      assert.match(stderr, /^swivel: CERTIFICATE_UNKNOWN: there is no certificate "nobody"; /);
      for (const client of http1) assert.equal((await client.get()).lastOne, false);
    });

    await t.test('its connections are cut, the others live on', async () => {
      const response = await fetch(`${swivel.adminUrl}/reload?compromised=tls`, { method: 'POST' });
      assert.equal(response.status, 200);
      const { results } = (await response.json()) as ReloadAnswer;
      const told = results.find(({ certificate }) => certificate === 'tls');
      assert.deepEqual([told?.result, told?.code], ['unchanged', 'CERT_COMPROMISED']);
      const line = await swivel.process.line(({ event }) => event === 'compromised');
      assert.deepEqual([line['level'], line['certificates'], line['connections']], ['warn', ['tls'], 4]);
      await Promise.all([...http1.map(({ closed }) => closed), http2.closed, webSocket.closed]);
      const count = async () => (await swivel.status()).connections.byCertificate['tls'];
      await until('they are gone', async () => (await count()) === undefined);

      assert.equal((await untouched.get()).lastOne, false);
      assert.equal((await untouchedHttp2.get()).status, 200);
      assert.deepEqual(untouchedHttp2.goaways, []);
      assert.equal(await untouchedWebSocket.echo('still here'), 'still here');
    });

    await t.test('it is served on while there is nothing else, and that is told', async () => {
      assert.equal(await shownTo(door, host), exposed.fingerprint256);
      const status = await statusOf('tls');
      assert.ok(status?.warnings.some(({ code }) => code === 'CERT_COMPROMISED'));
    });

    await t.test('sessions made before are not resumed', async () => {
      for (const version of versions) assert.equal(await resume(version), false, version);
    });

    await t.test('the same key with a new certificate is refused', async () => {
      const sameKey = await authority.issue({ names: [host], sameKeyAs: exposed });
      await writePair(directory, 'tls', sameKey);
      const line = await swivel.process.line(({ event, code }) => event === 'rejected' && code === 'CERT_COMPROMISED');
      assert.equal(line['certificate'], 'tls');
      const { state, fingerprint256, diskMatchesServed, lastError } = (await statusOf('tls')) ?? {};
      assert.deepEqual([state, fingerprint256, diskMatchesServed], ['rejected', exposed.fingerprint256, false]);
      assert.equal(lastError?.code, 'CERT_COMPROMISED');
      assert.equal(await shownTo(door, host), exposed.fingerprint256);
      const { results } = await swivel.reload();
      const told = results.find(({ certificate }) => certificate === 'tls');
      assert.deepEqual([told?.result, told?.code], ['rejected', 'CERT_COMPROMISED']);
    });

    const renewed = await authority.issue({ names: [host] });
    await t.test('a new key is applied', async () => {
      await writePair(directory, 'tls', renewed);
      await swivel.process.line(({ event, to }) => event === 'rotation' && to === renewed.fingerprint256);
      assert.equal(await shownTo(door, host), renewed.fingerprint256);
      await until('the status says so', async () => (await statusOf('tls'))?.diskMatchesServed);
      const { state, lastError, warnings } = (await statusOf('tls')) ?? {};
      assert.deepEqual([state, lastError, warnings], ['serving', null, []]);
    });

    await t.test('nothing goes back to it', async () => {
      const { code, stderr } = await cli('rollback', 'tls');
      assert.equal(await shownTo(door, host), renewed.fingerprint256);
      assert.equal(code, 1);
      assert.match(stderr, /^swivel: ROLLBACK_IMPOSSIBLE: /);
    });

    await t.test('swivel reload --compromised does the same', async () => {
      const client = await openHttp1(t, door, host);
      const { code, stdout } = await cli('reload', '--compromised', 'tls');
      assert.equal(code, 0);
      assert.match(stdout, /^tls: unchanged: CERT_COMPROMISED: /m);
      await client.closed;
    });

    await t.test('clients of the other certificate noticed none of it', () => load.unharmed());
  },
);
