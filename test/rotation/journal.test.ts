import assert from 'node:assert/strict';
import { Socket } from 'node:net';
import { test } from 'node:test';
import { finding } from '../../src/errors.ts';
import { bounded, metricOf, valuesOf } from '../support/swivel.ts';
import { authority, materialOf } from '../tls/support/identities.ts';
import { FakeSource, rotation } from './support/rotation.ts';

const issuer = await authority();
const [old, next, third, other] = await Promise.all([
  issuer.issue({ names: ['a.test'] }),
  issuer.issue({ names: ['a.test'], keyType: 'rsa-2048' }),
  issuer.issue({ names: ['a.test'] }),
  issuer.issue({ names: ['b.test'] }),
]);

type After = Parameters<typeof rotation>[0];

/** A source that holds `a` and `b`, both served. */
async function serving(t: After) {
  const source = new FakeSource('s', materialOf('a', old, 's'), materialOf('b', other, 's'));
  const rotating = rotation(t, [source]);
  await rotating.reconciler.runOnce('start');
  const replace = (leaf: Parameters<typeof materialOf>[1]) => {
    source.identities = [materialOf('a', leaf, 's'), materialOf('b', other, 's')];
    return rotating.reconciler.runOnce('event');
  };
  const status = (id: string) => rotating.journal.status(rotating.store.current).find((one) => one.id === id);
  return { ...rotating, source, replace, status };
}

test('a rotation is one line: from, to, what triggered it, how long it took, how many drain', bounded, async (t) => {
  const { connections, store, log, journal, metrics, replace } = await serving(t);
  assert.deepEqual(log.of('rotation'), []);
  for (const id of ['a', 'a', 'b']) {
    const identity = store.current.served.get(id)?.identity;
    assert.ok(identity);
    const { fingerprint, names, leaf } = identity;
    const tag = { id, fingerprint, fingerprint256: leaf.fingerprint256, names };
    connections.tag(connections.add(new Socket()), tag);
  }
  await replace(next);
  const [line, ...more] = log.of('rotation');
  assert.deepEqual(more, []);
  const { durationMs, at, ...facts } = journal.rotations[0] ?? {};
  assert.deepEqual(facts, {
    certificate: 'a',
    from: old.fingerprint256,
    to: next.fingerprint256,
    trigger: 'event',
    drained: 2,
  });
  assert.ok(typeof durationMs === 'number' && durationMs >= 0);
  assert.equal(new Date(String(at)).toISOString(), at);
  for (const [name, value] of Object.entries({ ...facts, durationMs, at, names: ['a.test'] })) {
    assert.deepEqual(line?.[name], value, name);
  }
  assert.equal(line?.['level'], 'info');
  assert.equal(await metricOf(metrics.certificateReloads, { certificate: 'a', result: 'applied' }), 1);
  assert.equal(connections.summary().draining, 2);
});

test('a dropped certificate is a rotation to nothing', bounded, async (t) => {
  const { source, reconciler, log, journal, status, metrics } = await serving(t);
  const both = await issuer.issue({ names: ['a.test', 'b.test'] });
  source.identities = [materialOf('a', both, 's')];
  await reconciler.runOnce('event');
  const dropped = log.of('rotation', 'b')[0];
  assert.deepEqual([dropped?.['from'], dropped?.['to']], [other.fingerprint256, null]);
  assert.equal(journal.rotations.length, 2);
  assert.equal(status('b'), undefined);
  assert.deepEqual(await valuesOf(metrics.certificateDiskMatchesServed), { a: 1 });
});

test('status tells each certificate: what is served, since when, and why not what is on disk', bounded, async (t) => {
  const { status, replace, store } = await serving(t);
  const served = store.current.served.get('a');
  const well = {
    id: 'a',
    source: 's',
    names: ['a.test'],
    fingerprint256: old.fingerprint256,
    chainFingerprint256: old.fingerprint256,
    serialNumber: old.x509.serialNumber.toLowerCase(),
    issuer: issuer.subject,
    keyType: 'ec-p256',
    notBefore: new Date(old.x509.validFrom).toISOString(),
    notAfter: new Date(old.x509.validTo).toISOString(),
    state: 'serving',
    generation: 1,
    activatedAt: served?.activatedAt.toISOString(),
    diskMatchesServed: true,
    lastError: null,
    warnings: [],
  };
  assert.deepEqual(status('a'), well);
  await replace({ ...next, chainPem: next.chainPem, keyPem: third.keyPem });
  const { lastError, ...facts } = status('a') ?? {};
  const { lastError: _, ...unchanged } = well;
  assert.deepEqual(facts, { ...unchanged, state: 'rejected', diskMatchesServed: false });
  assert.deepEqual([lastError?.code, lastError?.file], ['KEY_MISMATCH', 'a.key']);
  assert.ok(lastError?.remedy && lastError.message && lastError.at);
  await replace(third);
  assert.deepEqual([status('a')?.generation, status('a')?.diskMatchesServed], [2, true]);
  assert.equal(status('b')?.generation, 1);
});

test('one that never could be served has a status, too', bounded, async (t) => {
  const { source, reconciler, status } = await serving(t);
  source.findings = [finding('CERT_MISSING', 'error', { identity: 'c', file: 'c.key' })];
  await reconciler.runOnce('api');
  const shown = status('c');
  assert.deepEqual([shown?.state, shown?.fingerprint256, shown?.generation], ['rejected', null, null]);
  assert.equal(shown?.lastError?.code, 'CERT_MISSING');
});

test('a rejection is one line with code, file and remedy, however often it is seen', bounded, async (t) => {
  const { reconciler, log, replace, metrics } = await serving(t);
  await replace({ chainPem: 'damaged', keyPem: next.keyPem });
  for (let i = 0; i < 3; i++) await reconciler.runOnce('api');
  const [line, ...more] = log.of('rejected');
  assert.deepEqual(more, []);
  assert.deepEqual(
    [line?.['level'], line?.['certificate'], line?.['code'], line?.['file']],
    ['error', 'a', 'CERT_NOT_PEM', 'a.crt'],
  );
  assert.ok(line?.['remedy']);
  await replace({ chainPem: next.chainPem, keyPem: 'damaged' });
  await reconciler.runOnce('api');
  assert.deepEqual(
    log.of('rejected').map(({ code }) => code),
    ['CERT_NOT_PEM', 'KEY_UNPARSABLE'],
  );
  assert.equal(await metricOf(metrics.certificateReloads, { certificate: 'a', result: 'rejected' }), 2);
  assert.equal(log.of('recovered').length, 0);
  await replace(old);
  assert.deepEqual(
    log.of('recovered').map(({ certificate }) => certificate),
    ['a'],
  );
});

test('a source that cannot be read is told once, not once for each certificate in it', bounded, async (t) => {
  const { source, reconciler, log, conditions } = await serving(t);
  source.load = () => Promise.reject(new Error('gone'));
  for (let i = 0; i < 3; i++) await reconciler.runOnce('api');
  assert.deepEqual(
    log.of('rejected').map(({ code }) => code),
    ['SOURCE_UNREADABLE'],
  );
  const condition = conditions.list().find(({ type }) => type === 'DiskInSync');
  assert.equal(condition?.status, 'False');
  assert.match(condition?.message ?? '', /cannot be read.*not served as on disk: a, b/);
});

test('the gauges tell what is served and nothing of what was', bounded, async (t) => {
  const { metrics, replace } = await serving(t);
  const info = async () => Object.keys(await valuesOf(metrics.certificateInfo)).sort();
  const constant = `b,${other.fingerprint256},ec-p256`;
  assert.deepEqual(await info(), [`a,${old.fingerprint256},ec-p256`, constant]);
  await replace(next);
  assert.deepEqual(await info(), [`a,${next.fingerprint256},rsa-2048`, constant]);
  assert.equal(await metricOf(metrics.generation), 2);
  assert.equal(
    await metricOf(metrics.certificateNotAfter, { certificate: 'a' }),
    Math.floor(Date.parse(next.x509.validTo) / 1000),
  );
  assert.deepEqual(await valuesOf(metrics.certificateDiskMatchesServed), { a: 1, b: 1 });
  await replace({ chainPem: 'damaged', keyPem: next.keyPem });
  assert.deepEqual(await valuesOf(metrics.certificateDiskMatchesServed), { a: 0, b: 1 });
  assert.deepEqual(await info(), [`a,${next.fingerprint256},rsa-2048`, constant]);
  await replace(next);
  assert.deepEqual(await valuesOf(metrics.certificateDiskMatchesServed), { a: 1, b: 1 });
});

test('conditions tell whether certificates are valid and the disk is in sync', bounded, async (t) => {
  let clock = Date.now();
  const source = new FakeSource('s');
  const { reconciler, conditions } = rotation(t, [source], { now: () => clock });
  const told = async () => {
    await reconciler.runOnce('api');
    return Object.fromEntries(conditions.list().map(({ type, status, reason }) => [type, `${status} ${reason}`]));
  };
  const fresh = { CertificatesFresh: 'True Fresh' };
  assert.deepEqual(await told(), { CertificatesValid: 'False NothingServed', ...fresh, DiskInSync: 'True InSync' });
  source.identities = [materialOf('a', old, 's')];
  assert.deepEqual(await told(), { CertificatesValid: 'True Valid', ...fresh, DiskInSync: 'True InSync' });
  source.identities = [materialOf('a', { chainPem: 'damaged', keyPem: old.keyPem }, 's')];
  assert.deepEqual(await told(), { CertificatesValid: 'True Valid', ...fresh, DiskInSync: 'False Rejected' });
  clock = Date.parse(old.x509.validTo) + 1;
  assert.deepEqual(await told(), { CertificatesValid: 'False Expired', ...fresh, DiskInSync: 'False Rejected' });
});

test('a shadowed name is a warning of the certificate that lost it', bounded, async (t) => {
  const older = await issuer.issue({ names: ['a.test'], notBefore: new Date(Date.now() - 5 * 3_600_000) });
  const source = new FakeSource('s', materialOf('a', old, 's'), materialOf('z', older, 's'));
  const { reconciler, journal, store } = rotation(t, [source]);
  await reconciler.runOnce('start');
  const warnings = journal.status(store.current).map(({ id, warnings }) => [id, warnings.map(({ code }) => code)]);
  assert.deepEqual(warnings, [
    ['a', []],
    ['z', ['NAME_SHADOWED']],
  ]);
});

test('no text of a key is in the log, the status, the metrics or a report', bounded, async (t) => {
  const { reconciler, replace, log, journal, store, metrics, conditions, source } = await serving(t);
  const reports: unknown[] = [await replace(next)];
  for (const keyPem of ['', next.keyPem.slice(0, 120), next.keyPem.replaceAll('A', 'B'), third.keyPem]) {
    reports.push(await replace({ chainPem: next.chainPem, keyPem }));
    reports.push(await reconciler.runOnce('api'));
  }
  source.load = () => Promise.reject(new Error('gone'));
  reports.push(await reconciler.runOnce('api'));
  const said = [
    log.text,
    JSON.stringify([reports, journal.status(store.current), journal.rotations, conditions.list()]),
    await metrics.registry.metrics(),
  ].join();
  assert.doesNotMatch(said, /PRIVATE KEY/);
  for (const { keyPem } of [old, next, third, other]) {
    for (const line of keyPem.split('\n').filter((text) => /^[A-Za-z0-9+/=]{16,}$/.test(text))) {
      assert.ok(!said.includes(line.slice(0, 40)));
    }
  }
});

test('the last fifty rotations are kept, newest first', bounded, async (t) => {
  const { replace, journal } = await serving(t);
  for (let i = 0; i < 30; i++) {
    await replace(third);
    await replace(old);
  }
  assert.equal(journal.rotations.length, 50);
  assert.equal(journal.rotations[0]?.to, old.fingerprint256);
});
