import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { expiryLead } from '../src/certificates/index.ts';
import { temporaryDirectory, writePair } from '../test/support/files.ts';
import { createAuthority, type Leaf } from '../test/support/pki.ts';
import { shownTo } from './support/clients.ts';
import { serviceOf, startModestLoad } from './support/modest-load.ts';
import { bounded, type RunningSwivel, startSwivel } from './support/swivel.ts';
import { until } from './support/until.ts';

/** A moment this many seconds from now, on a whole second as certificates have it. */
const inSeconds = (seconds: number) => new Date(Math.ceil(Date.now() / 1000 + seconds) * 1000);
/** Of no interest here: every certificate expires soon. */
const gate = { minRemaining: '0s' };
const drain = { spread: '0s' };

const statusOf = async (swivel: RunningSwivel, id: string) =>
  (await swivel.status()).certificates.find((one) => one.id === id);
const rotationTo = (swivel: RunningSwivel, leaf: Leaf) =>
  swivel.process.line(({ event, to }) => event === 'rotation' && to === leaf.fingerprint256);

describe('when a served certificate expires', { concurrency: true }, () => {
  test('what was held back takes over when the served certificate expires', bounded, async (t) => {
    const authority = await createAuthority();
    const directory = await temporaryDirectory(t);
    await writePair(directory, 'held', await authority.issue({ names: ['held.test'] }));
    await writePair(directory, 'shrunk', await authority.issue({ names: ['kept.test', 'lost.test'] }));
    const upstream = await serviceOf(t);
    const start = (readiness: string[]) =>
      startSwivel(t, { certs: directory, upstream: upstream.url, config: { gate, drain, admin: { readiness } } });
    const [swivel, strict] = await Promise.all([start(['expired']), start(['out-of-sync'])]);
    const door = { port: swivel.port, ca: authority.certificatePem };
    const load = await startModestLoad(t, swivel, 'held.test', authority.certificatePem);

    const notAfter = inSeconds(12);
    const brief = await authority.issue({ names: ['held.test'], notAfter });
    const whole = await authority.issue({ names: ['kept.test', 'lost.test'], notAfter });
    const renewed = await authority.issue({ names: ['held.test'] });
    const less = await authority.issue({ names: ['kept.test'] });

    await t.test('one waits after a rollback, the other because it lost names', async () => {
      await writePair(directory, 'shrunk', whole);
      await writePair(directory, 'held', brief);
      for (const one of [swivel, strict]) for (const leaf of [whole, brief]) await rotationTo(one, leaf);
      await writePair(directory, 'shrunk', less);
      await writePair(directory, 'held', renewed);
      await rotationTo(swivel, renewed);
      const rollback = await fetch(`${swivel.adminUrl}/rollback?certificate=held`, { method: 'POST' });
      assert.equal(rollback.status, 200, await rollback.text());
      for (const { process } of [swivel, strict]) await process.line(({ code }) => code === 'NAMES_LOST');
      assert.equal(await shownTo(door, 'held.test'), brief.fingerprint256);
      assert.equal(await shownTo(door, 'kept.test'), whole.fingerprint256);
      assert.equal((await statusOf(swivel, 'held'))?.state, 'held');
      assert.equal((await statusOf(swivel, 'shrunk'))?.state, 'rejected');
      assert.equal((await swivel.ready()).status, 200, 'readiness turns on what expired only');
      assert.equal((await strict.ready()).status, 503, 'readiness turns on what differs from the disk');
    });

    await t.test('they take over by themselves', async () => {
      for (const [id, from, to, host] of [
        ['held', brief, renewed, 'held.test'],
        ['shrunk', whole, less, 'kept.test'],
      ] as const) {
        const line = await swivel.process.line(
          ({ event, to: shown, trigger }) =>
            event === 'rotation' && shown === to.fingerprint256 && trigger === 'schedule',
        );
        assert.deepEqual([line['certificate'], line['from']], [id, from.fingerprint256]);
        assert.ok(Date.parse(String(line['at'])) > notAfter.getTime() - expiryLead);
        assert.equal(await shownTo(door, host), to.fingerprint256);
        await until('the status says so', async () => (await statusOf(swivel, id))?.diskMatchesServed);
        const { state, lastError } = (await statusOf(swivel, id)) ?? {};
        assert.deepEqual([state, lastError], ['serving', null]);
      }
      assert.equal((await swivel.ready()).status, 200);
      await rotationTo(strict, less);
      await until('nothing differs any more', async () => (await strict.ready()).status === 200);
    });

    await t.test('no client met an expired one', () => load.unharmed());
  });

  test('another certificate for the same name takes over, and the expiry was announced', bounded, async (t) => {
    const authority = await createAuthority();
    const directory = await temporaryDirectory(t);
    const backup = await authority.issue({ names: ['app.test'], notBefore: new Date(Date.now() - 7_200_000) });
    await writePair(directory, 'backup', backup);
    const upstream = await serviceOf(t);
    const config = { gate, drain, expiry: { warn: ['9s', '4s'] }, admin: { readiness: ['expiring'] } };
    const swivel = await startSwivel(t, { certs: directory, upstream: upstream.url, config });
    const door = { port: swivel.port, ca: authority.certificatePem };
    const load = await startModestLoad(t, swivel, 'app.test', authority.certificatePem);
    const announced = () =>
      swivel.process.lines.filter(({ event, code }) => event === 'warning' && code === 'CERT_EXPIRES_SOON');
    assert.equal((await swivel.ready()).status, 200);

    const notAfter = inSeconds(12);
    const brief = await authority.issue({ names: ['app.test'], notAfter });

    await t.test('the expiry is warned of at each distance, once', async () => {
      await writePair(directory, 'brief', brief);
      const first = await swivel.process.line((line) => announced()[0] === line);
      assert.deepEqual([first['certificate'], first['level']], ['brief', 'warn']);
      assert.equal(await shownTo(door, 'app.test'), brief.fingerprint256, 'the newer one of the two');
      const status = await statusOf(swivel, 'brief');
      assert.ok(status?.warnings.some(({ code }) => code === 'CERT_EXPIRES_SOON'));
      assert.equal(
        (await statusOf(swivel, 'backup'))?.warnings.some(({ code }) => code === 'CERT_EXPIRES_SOON'),
        false,
      );
      assert.equal((await swivel.ready()).status, 503, 'readiness turns on what expires soon');
      // Looking again says nothing again.
      for (let i = 0; i < 3; i += 1) await swivel.reload();
      const second = await swivel.process.line((line) => announced()[1] === line);
      assert.equal(second['certificate'], 'brief');
      assert.ok(Date.parse(String(second['time'])) >= notAfter.getTime() - 4000, 'not before the smaller distance');
      for (let i = 0; i < 3; i += 1) await swivel.reload();
      assert.equal(announced().length, 2);
    });

    await t.test('then the other one is served, by the clock alone', async () => {
      const line = await swivel.process.line(({ code }) => code === 'CERT_EXPIRED');
      assert.equal(line['certificate'], 'brief');
      assert.ok(Date.now() > notAfter.getTime() - expiryLead);
      assert.equal(await shownTo(door, 'app.test'), backup.fingerprint256);
      assert.equal((await statusOf(swivel, 'brief'))?.state, 'expired');
      assert.equal((await statusOf(swivel, 'backup'))?.state, 'serving');
      assert.equal(announced().length, 2);
    });

    await t.test('no client met an expired one', () => load.unharmed());
  });
});
