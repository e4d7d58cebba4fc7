import assert from 'node:assert/strict';
import { mkdir, readFile, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { PemDirectorySource } from '../../src/certificates/index.ts';
import { KubernetesVolume, temporaryDirectory, writeAtomically, writePair } from '../support/files.ts';
import { bounded, eventually, metricOf } from '../support/swivel.ts';
import { authority, identityOf } from '../tls/support/identities.ts';
import { rotation, watching } from './support/rotation.ts';

const issuer = await authority();
const [old, next, other, last] = await Promise.all([
  issuer.issue({ names: ['a.test'] }),
  issuer.issue({ names: ['a.test'] }),
  issuer.issue({ names: ['b.test'] }),
  issuer.issue({ names: ['b.test'] }),
]);

type After = Parameters<typeof rotation>[0];

/** A directory with `a` in it, and what serves it; nothing watches yet. */
async function serving(t: After) {
  const directory = await temporaryDirectory(t);
  await writePair(directory, 'a', old);
  const rotating = rotation(t, [new PemDirectorySource(directory)]);
  await rotating.reconciler.runOnce('start');
  const shown = (host = 'a.test') => rotating.servedBy(host)?.leaf.fingerprint256;
  assert.equal(shown(), old.fingerprint256);
  return { ...rotating, directory, shown };
}

test('a renewed pair is served, told by events', bounded, async (t) => {
  const { directory, reconciler, log, shown } = await serving(t);
  reconciler.follow(watching(t, log));
  await writePair(directory, 'a', next);
  const line = await log.until('rotation', 'a');
  assert.equal(shown(), next.fingerprint256);
  assert.equal(line['trigger'], 'event');
});

test('a Kubernetes volume is swapped, told by events', bounded, async (t) => {
  const directory = await temporaryDirectory(t);
  const volume = new KubernetesVolume(directory);
  await volume.updateLeaf(old);
  const { reconciler, log, servedBy, metrics } = rotation(t, [new PemDirectorySource(directory)]);
  await reconciler.runOnce('start');
  reconciler.follow(watching(t, log));
  await volume.updateLeaf(next);
  await log.until('rotation', 'tls');
  assert.equal(servedBy('a.test')?.leaf.fingerprint256, next.fingerprint256);
  assert.equal(await metricOf(metrics.certificateReloads, { result: 'rejected' }), 0);
});

test(
  'an unchanged certificate is rewritten, touched and renamed 200 times, and nothing is rotated',
  bounded,
  async (t) => {
    const { directory, reconciler, log, store, connections } = await serving(t);
    await writePair(directory, 'b', other);
    await reconciler.runOnce('api');
    const served = store.current.served.get('a');
    const retired: string[] = [];
    t.mock.method(connections, 'retire', (fingerprints: ReadonlySet<string>) => {
      retired.push(...fingerprints);
      return new Map();
    });
    reconciler.follow(watching(t, log));
    const [certificate, key] = [join(directory, 'a.crt'), join(directory, 'a.key')];
    for (let i = 0; i < 50; i++) {
      await writePair(directory, 'a', old);
      await writeFile(certificate, old.chainPem);
      await utimes(key, i, i);
      await rename(certificate, `${certificate}.away`);
      await rename(`${certificate}.away`, certificate);
    }
    // One that did change comes after all of it, and is the only one.
    await writePair(directory, 'b', last);
    await log.until('rotation', 'b');
    await reconciler.runOnce('api');
    assert.equal(store.current.number, 3);
    assert.equal(store.current.served.get('a'), served);
    assert.deepEqual(retired, [identityOf('b', other).fingerprint]);
    assert.deepEqual(log.of('rotation', 'a'), []);
  },
);

test('a storm of changes ends on the last one', bounded, async (t) => {
  const { directory, reconciler, log, shown, metrics } = await serving(t);
  reconciler.follow(watching(t, log));
  const leaves = await issuer.issueMany(Array.from({ length: 100 }, () => ({ names: ['a.test'] })));
  for (const leaf of leaves) await writePair(directory, 'a', leaf);
  const end = leaves.at(-1)?.fingerprint256;
  await eventually(() => shown() === end);
  await reconciler.runOnce('api');
  assert.equal(shown(), end);
  assert.equal(await metricOf(metrics.certificateReloads, { result: 'rejected' }), 0);
});

test('a pair that is completed within the grace is never told as rejected', bounded, async (t) => {
  t.mock.method(performance, 'now', () => 0);
  const { directory, reconciler, log, shown, metrics, journal } = await serving(t);
  await writeAtomically(join(directory, 'a.key'), next.keyPem);
  const { verdicts } = await reconciler.runOnce('event');
  assert.deepEqual([verdicts[0]?.result, verdicts[0]?.error?.code], ['rejected', 'KEY_MISMATCH']);
  assert.equal(shown(), old.fingerprint256);
  assert.equal(journal.undecided, true);
  await writeAtomically(join(directory, 'a.crt'), next.chainPem);
  await reconciler.runOnce('retry');
  assert.equal(shown(), next.fingerprint256);
  assert.deepEqual([log.of('rejected'), log.of('recovered')], [[], []]);
  assert.equal(await metricOf(metrics.certificateReloads, { result: 'rejected' }), 0);
  assert.equal(journal.undecided, false);
});

test('a pair that stays incomplete is told once, when the grace is over; so is its recovery', bounded, async (t) => {
  let clock = 0;
  t.mock.method(performance, 'now', () => clock);
  const { directory, reconciler, log, shown, metrics } = await serving(t);
  await writeAtomically(join(directory, 'a.key'), next.keyPem);
  await reconciler.runOnce('event');
  clock = 499;
  await reconciler.runOnce('retry');
  assert.deepEqual(log.of('rejected'), []);
  clock = 500;
  await reconciler.runOnce('retry');
  await reconciler.runOnce('resync');
  const [line, ...more] = log.of('rejected', 'a');
  assert.deepEqual(more, []);
  assert.deepEqual([line?.['code'], line?.['file']], ['KEY_MISMATCH', join(directory, 'a.key')]);
  assert.equal(await metricOf(metrics.certificateReloads, { certificate: 'a', result: 'rejected' }), 1);
  assert.equal(shown(), old.fingerprint256);
  await writeAtomically(join(directory, 'a.key'), old.keyPem);
  assert.equal((await reconciler.runOnce('event')).verdicts[0]?.result, 'unchanged');
  assert.equal(log.of('recovered', 'a').length, 1);
  assert.deepEqual(log.of('rotation'), []);
});

test('an incomplete pair is found to persist by itself, without another event', bounded, async (t) => {
  const { directory, reconciler, log } = await serving(t);
  reconciler.follow(watching(t, log));
  await writeAtomically(join(directory, 'a.key'), next.keyPem);
  assert.equal((await log.until('rejected', 'a'))['code'], 'KEY_MISMATCH');
  await writeAtomically(join(directory, 'a.crt'), next.chainPem);
  await log.until('recovered', 'a');
});

test('a wrong passphrase keeps what is served, the right one mends it, and neither is told', bounded, async (t) => {
  const { directory, reconciler, log, shown } = await serving(t);
  await writeFile(join(directory, 'a.pass'), 'mistaken-secret\n');
  await writeAtomically(join(directory, 'a.key'), next.encryptedKeyPem('proper-secret'));
  await writeAtomically(join(directory, 'a.crt'), next.chainPem);
  const { verdicts } = await reconciler.runOnce('api');
  assert.equal(verdicts[0]?.error?.code, 'KEY_PASSPHRASE_WRONG');
  assert.equal(shown(), old.fingerprint256);
  await writeFile(join(directory, 'a.pass'), 'proper-secret\n');
  await reconciler.runOnce('api');
  assert.equal(shown(), next.fingerprint256);
  assert.equal(log.of('recovered', 'a').length, 1);
  assert.doesNotMatch(log.text, /mistaken-secret|proper-secret|PRIVATE KEY/);
});

test('when all events are lost, looking again finds every change', bounded, async (t) => {
  const { directory, reconciler, log, shown } = await serving(t);
  reconciler.follow(watching(t, log, { mode: 'poll', pollInterval: 5 }));
  await writePair(directory, 'a', next);
  // Who looks between the writes of key and certificate finds half a pair, and looks once more by itself.
  assert.match(String((await log.until('rotation', 'a'))['trigger']), /^(resync|schedule)$/);
  assert.equal(shown(), next.fingerprint256);
  // The directory goes away and comes back with another certificate.
  await rm(directory, { recursive: true });
  await eventually(() => log.of('rejected').length > 0);
  assert.equal(shown(), next.fingerprint256);
  await mkdir(directory);
  await writePair(directory, 'a', old);
  await eventually(() => shown() === old.fingerprint256);
});

test('a change that was made before the watch was armed is found', bounded, async (t) => {
  const { directory, reconciler, log, shown } = await serving(t);
  await writePair(directory, 'a', next);
  reconciler.follow(watching(t, log));
  await log.until('rotation', 'a');
  assert.equal(shown(), next.fingerprint256);
});

const spoilt: Record<string, (directory: string) => Promise<unknown>> = {
  'a truncated certificate': async (directory) =>
    writeFile(join(directory, 'a.crt'), (await readFile(join(directory, 'a.crt'))).subarray(0, 300)),
  'an empty certificate': (directory) => writeFile(join(directory, 'a.crt'), ''),
  'an empty key': (directory) => writeFile(join(directory, 'a.key'), ''),
  'a deleted certificate': (directory) => rm(join(directory, 'a.crt')),
  'a deleted key': (directory) => rm(join(directory, 'a.key')),
  'a deleted pair': (directory) => Promise.all(['crt', 'key'].map((end) => rm(join(directory, `a.${end}`)))),
  'a deleted directory': (directory) => rm(directory, { recursive: true }),
  'a directory in place of the key': async (directory) => {
    await rm(join(directory, 'a.key'));
    await mkdir(join(directory, 'a.key'));
  },
  'a key of another certificate': (directory) => writeFile(join(directory, 'a.key'), next.keyPem),
  'an expired certificate': async (directory) => {
    const dates = { notBefore: new Date('2020-01-01'), notAfter: new Date('2020-02-01') };
    await writePair(directory, 'a', await issuer.issue({ names: ['a.test'], ...dates }));
  },
};

for (const [what, spoil] of Object.entries(spoilt)) {
  test(`${what} takes nothing out of service and retires nothing`, bounded, async (t) => {
    const { directory, reconciler, shown, store, journal, log } = await serving(t);
    await spoil(directory);
    const report = await reconciler.runOnce('api');
    assert.equal(shown(), old.fingerprint256);
    assert.equal(report.generation, 1);
    assert.equal(journal.status(store.current)[0]?.diskMatchesServed, false);
    assert.ok(log.of('rejected').length > 0);
    await rm(join(directory, 'a.key'), { recursive: true, force: true });
    await mkdir(directory, { recursive: true });
    await writePair(directory, 'a', old);
    const mended = await reconciler.runOnce('api');
    assert.deepEqual([mended.generation, mended.verdicts[0]?.result, mended.failures], [1, 'unchanged', []]);
  });
}
