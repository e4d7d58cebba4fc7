import assert from 'node:assert/strict';
import { test } from 'node:test';
import { temporaryDirectory, writePair } from '../test/support/files.ts';
import { createAuthority, type Leaf } from '../test/support/pki.ts';
import { shownTo } from './support/clients.ts';
import { serviceOf, startModestLoad } from './support/modest-load.ts';
import { bounded, type RunningSwivel, runSwivel, startSwivel } from './support/swivel.ts';

const ids = ['a', 'b', 'c'] as const;

test('each of a fleet activates at a moment of its own, and at once when it is told to', bounded, async (t) => {
  const authority = await createAuthority();
  const directory = await temporaryDirectory(t);
  const issue = () => Promise.all(ids.map((id) => authority.issue({ names: [`${id}.test`] })));
  const write = async (leaves: readonly Leaf[]) => {
    for (const [i, id] of ids.entries()) await writePair(directory, id, leaves[i] as Leaf);
  };
  const old = await issue();
  await write(old);
  const upstream = await serviceOf(t);
  const start = (jitter: string) => {
    const config = { rotation: { jitter }, drain: { spread: '0s' } };
    return startSwivel(t, { certs: directory, upstream: upstream.url, config });
  };
  const fleet = [await start('500ms-2s'), await start('500ms-2s')];
  const patient = await start('10m-20m');
  const load = await startModestLoad(t, fleet[0] as RunningSwivel, 'a.test', authority.certificatePem);
  const renewed = await issue();
  const written = Date.now();
  await write(renewed);

  const waits = async ({ process }: RunningSwivel, id: string) => {
    const line = await process.line(({ code, certificate }) => code === 'ACTIVATION_DELAYED' && certificate === id);
    assert.deepEqual([line.event, line['level']], ['pending', 'info']);
    const [, planned = ''] = /is activated at (\S+)$/.exec(String(line['message'])) ?? [];
    return { told: Date.parse(String(line['time'])), planned: Date.parse(planned) };
  };
  const activated = ({ process }: RunningSwivel, leaf: Leaf | undefined) =>
    process.line(({ event, to }) => event === 'rotation' && to === leaf?.fingerprint256);

  await t.test('the moments differ, and lie within the range', async () => {
    const moments: number[][] = [];
    for (const swivel of fleet) {
      const own: number[] = [];
      for (const [i, id] of ids.entries()) {
        const { told, planned } = await waits(swivel, id);
        assert.ok(planned >= written + 500, 'not before the range');
        assert.ok(planned <= told + 2000, 'not after it');
        const line = await activated(swivel, renewed[i]);
        const at = Date.parse(String(line['at']));
        assert.ok(at >= planned);
        assert.equal(line['trigger'], 'schedule');
        own.push(at);
        const door = { port: swivel.port, ca: authority.certificatePem };
        assert.equal(await shownTo(door, `${id}.test`), renewed[i]?.fingerprint256);
      }
      moments.push(own);
    }
    assert.notDeepEqual(moments[0], moments[1]);
  });

  await t.test('what waits is served as before, and seen', async () => {
    for (const id of ids) await waits(patient, id);
    const { certificates, rotations, conditions } = await patient.status();
    assert.deepEqual(rotations, []);
    for (const [i, { state, fingerprint256, lastError }] of certificates.entries()) {
      assert.deepEqual([state, fingerprint256], ['pending', old[i]?.fingerprint256]);
      assert.equal(lastError?.code, 'ACTIVATION_DELAYED');
    }
    assert.equal(conditions.find(({ type }) => type === 'DiskInSync')?.status, 'False');
    const door = { port: patient.port, ca: authority.certificatePem };
    assert.equal(await shownTo(door, 'a.test'), old[0]?.fingerprint256);
  });

  await t.test('swivel reload does not wait', async () => {
    const { code, stdout } = await runSwivel(['reload', '--admin', patient.adminUrl]);
    assert.deepEqual([code, stdout], [0, 'a: applied\nb: applied\nc: applied\ngeneration 2\n']);
    const door = { port: patient.port, ca: authority.certificatePem };
    for (const [i, id] of ids.entries()) {
      const line = await activated(patient, renewed[i]);
      assert.equal(line['trigger'], 'api');
      assert.equal(await shownTo(door, `${id}.test`), renewed[i]?.fingerprint256);
    }
    assert.deepEqual(
      (await patient.status()).certificates.map(({ state }) => state),
      ['serving', 'serving', 'serving'],
    );
  });

  await t.test('no client noticed any of it', () => load.unharmed());
});
