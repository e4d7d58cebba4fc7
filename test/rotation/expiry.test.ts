import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { ValidatedIdentity } from '../../src/certificates/index.ts';
import { expiryWarning, nextWarning } from '../../src/rotation/expiry.ts';
import { bounded, eventually } from '../support/swivel.ts';
import { authority, hour } from '../tls/support/identities.ts';
import { watching } from './support/rotation.ts';
import { scene } from './support/scene.ts';
import { now, synthetic } from './support/synthetic.ts';

const issuer = await authority();
const day = 24 * hour;
/** Valid from now to a moment, to the millisecond. */
function until(notAfter: number): ValidatedIdentity {
  const identity = synthetic({ id: 'a', notBefore: now });
  return { ...identity, leaf: { ...identity.leaf, notAfter } };
}

const distances = [14 * day, 7 * day, day];
const lasting = until(now + 90 * day);

test('the smallest distance that was crossed is told, up to the end and not beyond it', () => {
  const told = (left: number) => expiryWarning(lasting, distances, lasting.leaf.notAfter - left)?.message ?? null;
  assert.equal(told(14 * day + 1), null);
  assert.match(told(14 * day) ?? '', /^a\.crt expires at 2030-04-01T00:00:00\.000Z, in less than 14 d$/);
  assert.match(told(7 * day) ?? '', /less than 7 d$/);
  assert.match(told(0) ?? '', /less than 24 h$/);
  assert.equal(told(-1), null);
  assert.match(expiryWarning(lasting, [hour], lasting.leaf.notAfter)?.message ?? '', /less than 60 min$/);
});

test('a distance of more than a third of the lifetime says nothing', () => {
  const brief = until(now + 21 * day);
  assert.equal(expiryWarning(brief, distances, now + 7 * day), null);
  assert.equal(expiryWarning(brief, distances, now + 14 * day)?.code, 'CERT_EXPIRES_SOON');
  assert.equal(nextWarning(brief, distances, now), now + 14 * day);
  assert.equal(nextWarning(brief, distances, now + 14 * day), now + 20 * day);
  assert.equal(nextWarning(brief, distances, now + 20 * day), Number.POSITIVE_INFINITY);
});

test('the text changes at the moments that were foretold, and at no other', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.integer({ min: 1, max: 40 })), fc.nat(90 * 24), (days, hours) => {
      const at = now + hours * hour;
      const all = days.map((one) => one * day);
      const text = (moment: number) => expiryWarning(lasting, all, moment)?.message;
      const next = nextWarning(lasting, all, at);
      const last = Math.min(next, lasting.leaf.notAfter + 1) - 1;
      assert.equal(text(last), text(at));
      if (next <= lasting.leaf.notAfter) assert.notEqual(text(next), text(at));
    }),
  );
});

test('each distance is told once, in time and by itself, beside what else is told', bounded, async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let clock = Date.now();
  const start = clock;
  const intermediate = await issuer.intermediate();
  const leaf = await intermediate.issue({ names: ['a.test'], notAfter: new Date(clock + 40 * hour) });
  const disordered = { chainPem: intermediate.certificatePem + leaf.certificatePem, keyPem: leaf.keyPem };
  const { run, reconciler, log, status, codes, conditions } = await scene(
    t,
    { a: disordered },
    { activation: { expiryWarnings: [10 * hour, 2 * hour, 30 * hour] }, now: () => clock },
  );
  const fresh = () => conditions.list().find(({ type }) => type === 'CertificatesFresh')?.status;
  reconciler.follow(watching(t, log, { mode: 'off' }));
  await run();
  assert.deepEqual([codes('warning'), fresh()], [['CERT_ORDER'], 'True']);
  // `notAfter` has whole seconds.
  const end = Math.floor((start + 40 * hour) / 1000) * 1000;
  for (const [i, distance] of [10 * hour, 2 * hour].entries()) {
    const wait = end - distance - clock;
    clock += wait;
    t.mock.timers.tick(wait);
    await eventually(() => codes('warning').length === 2 + i);
    for (const trigger of ['event', 'resync', 'api'] as const) await run(trigger);
    assert.deepEqual(codes('warning').slice(1), Array(i + 1).fill('CERT_EXPIRES_SOON'));
    assert.deepEqual(
      status()?.warnings.map(({ code }) => code),
      ['CERT_ORDER', 'CERT_EXPIRES_SOON'],
    );
    assert.equal(fresh(), 'False');
  }
  assert.match(String(log.of('warning').at(-1)?.['msg']), /less than 2 h/);
});
