import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FileFault } from '../../src/files/index.ts';
import { decideBundles } from '../../src/rotation/index.ts';
import { bundleOf } from '../certificates/trust/support/bundle.ts';
import { createAuthority } from '../support/pki.ts';
import { bounded, eventually } from '../support/swivel.ts';
import { authority, hour, materialOf } from '../tls/support/identities.ts';
import { FakeSource, rotation, watching } from './support/rotation.ts';

const issuer = await authority();
const [ca1, ca2] = await Promise.all([createAuthority(), createAuthority()]);
const [v1, v2] = await issuer.issueMany([{ names: ['a.test'] }, { names: ['a.test'] }]);
if (!v1 || !v2) throw new Error('two were issued');

const trust = (...pems: string[]) => [
  { id: 'clients', source: 't', files: pems.map((pem, i) => ({ path: `/t/${i}.pem`, bytes: Buffer.from(pem) })) },
];

/** One certificate and one trust bundle, both served. */
async function serving(t: Parameters<typeof rotation>[0]) {
  const source = new FakeSource('s', materialOf('a', v1 ?? assert.fail(), 's'));
  const bundles = new FakeSource('t');
  bundles.bundles = trust(ca1.certificatePem);
  const rotating = rotation(t, [source, bundles]);
  const { reconciler, store, journal } = rotating;
  await reconciler.runOnce('start');
  const used = () => store.current.bundles.get('clients')?.fingerprint;
  const status = () => journal.trustStatus().find(({ id }) => id === 'clients');
  return { ...rotating, source, bundles, used, status, keys: () => store.ticketKeys };
}

const first = bundleOf(ca1.certificatePem).fingerprint;
const second = bundleOf(ca2.certificatePem).fingerprint;

test('a bundle and an identity that change together are one generation', bounded, async (t) => {
  const { source, bundles, reconciler, store, used } = await serving(t);
  const seen: (readonly [number, string | undefined, string | undefined])[] = [];
  store.onCommit(({ number, served, bundles: now }) => {
    seen.push([number, served.get('a')?.identity.leaf.fingerprint256, now.get('clients')?.fingerprint]);
  });
  assert.equal(used(), first);
  source.identities = [materialOf('a', v2, 's')];
  bundles.bundles = trust(ca2.certificatePem);
  await reconciler.runOnce('event');
  assert.deepEqual(seen, [[2, v2.fingerprint256, second]]);
});

test('ticket keys are renewed with a bundle, and with nothing else', bounded, async (t) => {
  const { source, bundles, reconciler, store, keys } = await serving(t);
  const before = keys();
  source.identities = [materialOf('a', v2, 's')];
  await reconciler.runOnce('event');
  assert.deepEqual(keys(), before);
  const { context, since } = store.current.served.get('a') ?? {};
  bundles.bundles = trust(ca1.certificatePem, ca2.certificatePem);
  await reconciler.runOnce('event');
  assert.notDeepEqual(keys(), before);
  const after = store.current.served.get('a');
  assert.notEqual(after?.context, context);
  assert.deepEqual([after?.since, after?.identity.leaf.fingerprint256], [since, v2.fingerprint256]);
});

test('the same authorities, written anew in another way, are no change', bounded, async (t) => {
  const { bundles, reconciler, keys } = await serving(t);
  const before = keys();
  bundles.bundles = trust(`a comment\n${ca1.certificatePem}${ca1.certificatePem}`, ca1.certificatePem);
  for (const trigger of ['event', 'resync', 'api'] as const) {
    assert.equal((await reconciler.runOnce(trigger)).generation, 1);
  }
  assert.deepEqual(keys(), before);
});

test('of a broken bundle the last good one is used, and the reason is in status and log', bounded, async (t) => {
  const { source, bundles, reconciler, log, status, used, conditions, servedBy } = await serving(t);
  bundles.bundles = trust(ca2.certificatePem.slice(0, 200));
  source.identities = [materialOf('a', v2, 's')];
  const { bundles: verdicts } = await reconciler.runOnce('api');
  assert.equal(verdicts[0]?.error?.code, 'TRUST_UNPARSABLE');
  assert.equal(used(), first);
  assert.equal(servedBy('a.test')?.leaf.fingerprint256, v2.fingerprint256);
  const shown = status();
  assert.deepEqual(
    [shown?.fingerprint256, shown?.diskMatchesServed, shown?.lastError?.code, shown?.lastError?.file],
    [first, false, 'TRUST_UNPARSABLE', '/t/0.pem'],
  );
  assert.deepEqual(
    log.of('rejected').map(({ code }) => code),
    ['TRUST_UNPARSABLE'],
  );
  assert.match(conditions.list().find(({ type }) => type === 'DiskInSync')?.message ?? '', /clients/);
  bundles.bundles = trust(ca2.certificatePem);
  await reconciler.runOnce('event');
  assert.deepEqual([used(), status()?.lastError], [second, null]);
  assert.equal(log.of('recovered').length, 1);
});

test('a bundle whose source cannot be read stays', bounded, async (t) => {
  const { bundles, reconciler, used, status, keys } = await serving(t);
  const before = keys();
  const { load } = bundles;
  bundles.load = () => Promise.reject(new FileFault('SOURCE_MISSING', '/t', '/t does not exist'));
  const { failures, generation } = await reconciler.runOnce('event');
  assert.deepEqual([failures[0]?.code, generation, used()], ['SOURCE_MISSING', 1, first]);
  assert.deepEqual([status()?.diskMatchesServed, status()?.authorities], [false, 1]);
  bundles.load = load;
  assert.equal((await reconciler.runOnce('event')).generation, 1);
  assert.deepEqual([keys(), status()?.diskMatchesServed], [before, true]);
});

test('a broken bundle is looked at again soon: it may be half-written', bounded, async (t) => {
  const { bundles, reconciler, log, used } = await serving(t);
  t.mock.timers.enable({ apis: ['setTimeout'] });
  reconciler.follow(watching(t, log, { mode: 'off' }));
  bundles.bundles = trust('-----BEGIN CERTIFICATE-----\n');
  await reconciler.runOnce('event');
  bundles.bundles = trust(ca2.certificatePem);
  t.mock.timers.tick(25);
  await eventually(() => used() === second);
});

test('what is wrong with the dates of a bundle is told, and keeps nothing from being used', () => {
  const now = Date.now() + 5000 * 24 * hour;
  const bundle = bundleOf(ca1.certificatePem);
  const candidate = { id: 'clients', source: 't', bundle, findings: [] };
  const [verdict] = decideBundles([candidate], new Map(), now);
  assert.deepEqual([verdict?.served, verdict?.error], [bundle, null]);
  assert.deepEqual(
    verdict?.warnings.map(({ code }) => code),
    ['TRUST_EXPIRED'],
  );
  const [absent] = decideBundles([], new Map([['clients', bundle]]), now);
  assert.deepEqual([absent?.served, absent?.diskMatchesServed, absent?.warnings.length], [bundle, false, 1]);
  const [never] = decideBundles([{ ...candidate, bundle: null }], new Map(), now);
  assert.deepEqual([never?.served, never?.error], [null, null]);
});
