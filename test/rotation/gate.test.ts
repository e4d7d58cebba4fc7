import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GateAction, ValidatedIdentity } from '../../src/certificates/index.ts';
import { judgeAtGate } from '../../src/rotation/gate.ts';
import { decide, defaultGate, type GatePolicy, plainRules } from '../../src/rotation/index.ts';
import { createAuthority } from '../support/pki.ts';
import { bounded } from '../support/swivel.ts';
import { authority, hour } from '../tls/support/identities.ts';
import { scene } from './support/scene.ts';
import { broken, byId, good, now, synthetic } from './support/synthetic.ts';

const minute = 60_000;
const lasting = { notBefore: now - hour, notAfter: now + hour };
const current = synthetic({ id: 'a', names: ['x.test', 'y.test'], keyType: 'ec-p384', ...lasting });
const next = (facts: Omit<Parameters<typeof synthetic>[0], 'id'> = {}) =>
  synthetic({ id: 'a', names: ['x.test', 'y.test'], keyType: 'ec-p384', version: 1, ...lasting, ...facts });

interface Wrong {
  readonly setting: Exclude<keyof GatePolicy, 'minRemaining' | 'wrongUsage' | 'weakSignature' | 'chainIncomplete'>;
  readonly code: string;
  readonly identity: ValidatedIdentity;
  readonly unanchored?: string;
}

const wrongs: readonly Wrong[] = [
  { setting: 'expired', code: 'CERT_EXPIRED', identity: next({ notAfter: now - 1 }) },
  { setting: 'notYetValid', code: 'CERT_NOT_YET_VALID', identity: next({ notBefore: now + 1 }) },
  { setting: 'lifetimeShort', code: 'LIFETIME_SHORT', identity: next({ notAfter: now + 10 * minute - 1 }) },
  { setting: 'namesLost', code: 'NAMES_LOST', identity: next({ names: ['x.test', 'z.test'] }) },
  { setting: 'keyWeaker', code: 'KEY_WEAKER', identity: next({ keyType: 'ec-p256' }) },
  { setting: 'chainUnanchored', code: 'CHAIN_UNANCHORED', identity: next(), unanchored: 'it ends nowhere' },
];

for (const { setting, code, identity, unanchored } of wrongs) {
  const judged = (action: GateAction, served: ValidatedIdentity | null = current) =>
    judgeAtGate(identity, served, [], { ...defaultGate, [setting]: action }, now, unanchored ?? null);

  test(`${setting}: rejected, warned of or ignored, as the policy says`, () => {
    const rejected = judged('reject');
    assert.deepEqual([rejected.refusal?.code, rejected.refusal?.severity], [code, 'error']);
    assert.deepEqual([rejected.refusal?.identity, rejected.refusal?.file], ['a', 'a.crt']);
    assert.deepEqual(rejected.warnings, []);
    const warned = judged('warn');
    assert.equal(warned.refusal, null);
    assert.deepEqual(
      warned.warnings.map((one) => [one.code, one.severity]),
      [[code, 'warning']],
    );
    assert.deepEqual(judged('ignore'), { refusal: null, warnings: [] });
  });
}

test('what is wrong with nothing passes', () => {
  assert.deepEqual(judgeAtGate(next(), current, [], defaultGate, now), { refusal: null, warnings: [] });
});

test('exactly as much as has to be left is enough', () => {
  const { warnings } = judgeAtGate(next({ notAfter: now + 10 * minute }), current, [], defaultGate, now);
  assert.deepEqual(warnings, []);
});

const strict: GatePolicy = {
  ...defaultGate,
  lifetimeShort: 'reject',
  keyWeaker: 'reject',
  namesLost: 'reject',
  chainUnanchored: 'reject',
};

test('when the served one has expired only the dates count: whatever is valid is better', () => {
  const lapsed = synthetic({ id: 'a', names: ['x.test', 'y.test'], keyType: 'ec-p384', notAfter: now - 1 });
  const poor = next({ names: ['z.test'], keyType: 'rsa-2048', notAfter: now + minute });
  const { refusal, warnings } = judgeAtGate(poor, lapsed, [], strict, now, 'it ends nowhere');
  assert.equal(refusal, null);
  assert.deepEqual(warnings.map(({ code }) => code).sort(), ['CHAIN_UNANCHORED', 'LIFETIME_SHORT']);
  const expired = next({ notAfter: now - 1 });
  assert.equal(judgeAtGate(expired, lapsed, [], strict, now).refusal?.code, 'CERT_EXPIRED');
});

test('a first certificate that lasts only a little longer is served with a warning, or without one where that is ignored', () => {
  const short = next({ notAfter: now + minute });
  const first = judgeAtGate(short, null, [], strict, now);
  assert.deepEqual([first.refusal, first.warnings[0]?.code], [null, 'LIFETIME_SHORT']);
  assert.deepEqual(judgeAtGate(short, null, [], { ...strict, lifetimeShort: 'ignore' }, now).warnings, []);
});

test('a first certificate has to be anchored', () => {
  assert.equal(judgeAtGate(next(), null, [], strict, now, 'it ends nowhere').refusal?.code, 'CHAIN_UNANCHORED');
});

test('a name is not lost when the new one covers it by a wildcard, or another valid one on disk does', () => {
  const served = synthetic({ id: 'a', names: ['x.a.test', '*.b.test'], ...lasting });
  const lost = (names: readonly string[], ...others: ValidatedIdentity[]) =>
    judgeAtGate(synthetic({ id: 'a', names, version: 1, ...lasting }), served, others, strict, now).refusal?.code;
  assert.equal(lost(['*.a.test', '*.b.test']), undefined);
  assert.equal(lost(['x.a.test', 'y.b.test']), 'NAMES_LOST');
  assert.equal(lost(['x.a.test', '*.test']), 'NAMES_LOST');
  const other = (id: string, names: readonly string[], dates = {}) => synthetic({ id, names, ...lasting, ...dates });
  assert.equal(lost(['x.a.test'], other('o', ['*.b.test'])), undefined);
  assert.equal(lost([], other('o', ['*.b.test']), other('p', ['*.a.test'])), undefined);
  assert.equal(lost(['x.a.test'], other('o', ['*.b.test'], { notAfter: now - 1 })), 'NAMES_LOST');
  assert.equal(lost(['x.a.test'], other('o', ['*.b.test'], { notBefore: now + 1 })), 'NAMES_LOST');
  // What is judged covers nothing for itself.
  assert.equal(lost(['x.a.test'], other('a', ['*.b.test'])), 'NAMES_LOST');
});

test('the names that are lost are told, many of them in short', () => {
  const names = Array.from({ length: 8 }, (_, i) => `h${i}.test`);
  const served = synthetic({ id: 'a', names, ...lasting });
  const message = (left: readonly string[]) =>
    judgeAtGate(synthetic({ id: 'a', names: left, version: 1, ...lasting }), served, [], strict, now).refusal?.message;
  assert.equal(message(names.slice(1)), 'a.crt no longer covers h0.test');
  assert.equal(message([]), 'a.crt no longer covers h0.test, h1.test, h2.test, h3.test, h4.test and 3 more');
});

test('keys by strength: rsa-2048, then p256 with rsa-3072 and ed25519, then p384, then p521', () => {
  const ranks = [
    ['rsa-2048'],
    ['ec-p256', 'rsa-3072', 'rsa-4096', 'rsa-pss-4096', 'ed25519'],
    ['ec-p384'],
    ['ec-p521'],
  ];
  const rankOf = new Map(ranks.flatMap((types, rank) => types.map((type) => [type, rank] as const)));
  for (const [from, before] of rankOf) {
    for (const [to, after] of rankOf) {
      const one = synthetic({ id: 'a', keyType: from, ...lasting });
      const other = synthetic({ id: 'a', keyType: to, version: 1, ...lasting });
      const { refusal } = judgeAtGate(other, one, [], strict, now);
      assert.equal(refusal?.code, after < before ? 'KEY_WEAKER' : undefined, `${from} to ${to}`);
    }
  }
});

test('a name may move to another certificate only if that one is served indeed', () => {
  const a = synthetic({ id: 'a', names: ['x.test', 'y.test'] });
  const b = synthetic({ id: 'b', names: ['v.test', 'w.test'] });
  const c = synthetic({ id: 'c', names: ['z.test'] });
  const onDisk = (...identities: ValidatedIdentity[]) => decide(byId(...identities.map(good)), byId(a, b, c), now);
  const results = (...identities: ValidatedIdentity[]) => onDisk(...identities).verdicts.map(({ result }) => result);
  const newA = synthetic({ id: 'a', names: ['x.test'], version: 1 });
  const newC = synthetic({ id: 'c', names: ['z.test', 'y.test'], version: 1 });
  assert.deepEqual(results(newA, b, newC), ['applied', 'unchanged', 'applied']);
  // b would take y, and loses names itself; so a has to keep y.
  const newB = synthetic({ id: 'b', names: ['v.test', 'y.test'], version: 1 });
  assert.deepEqual(results(newA, newB, c), ['rejected', 'rejected', 'unchanged']);
  // In a chain of moves the last one decides.
  const takesW = synthetic({ id: 'c', names: ['w.test'], version: 1 });
  assert.deepEqual(results(newA, newB, takesW), ['rejected', 'rejected', 'rejected']);
  const swapped = [a, b].map(({ id }, i) => synthetic({ id, names: [a, b][1 - i]?.names ?? [], version: 1 }));
  assert.deepEqual(results(...swapped, c), ['applied', 'applied', 'unchanged']);
  assert.deepEqual(decide(byId(good(newA), broken('b')), byId(a), now).verdicts[0]?.error?.code, 'NAMES_LOST');
});

test('what is not valid is served where the policy only warns', () => {
  const gate: GatePolicy = { ...defaultGate, expired: 'warn', notYetValid: 'warn' };
  for (const dates of [{ notAfter: now - 1 }, { notBefore: now + 1 }]) {
    const odd = next(dates);
    const { verdicts, target } = decide(byId(good(odd)), byId(current), now, { ...plainRules, gate });
    assert.deepEqual([verdicts[0]?.result, target], ['applied', [odd]]);
    assert.match(verdicts[0]?.warnings[0]?.code ?? '', /CERT_EXPIRED|CERT_NOT_YET_VALID/);
    assert.deepEqual(decide(byId(good(odd)), byId(odd), now, { ...plainRules, gate }).target, [odd]);
  }
});

const issuer = await authority();
const [both, one, shrunk, lapsed] = await Promise.all([
  issuer.issue({ names: ['x.test', 'y.test'] }),
  issuer.issue({ names: ['x.test'] }),
  issuer.issue({ names: ['x.test'] }),
  issuer.issue({ names: ['x.test'], notAfter: new Date(Date.now() - 1000) }),
]);

test('what an operator accepts passes the gate, and goes on to until the files change', bounded, async (t) => {
  const { put, run, told, served, write } = await scene(t, { a: both });
  await put({ a: one });
  assert.deepEqual([told(), served()], [['rejected', 'rejected', 'NAMES_LOST'], both.fingerprint256]);
  await run('api', { accept: ['nobody'] });
  assert.equal(served(), both.fingerprint256);
  await run('api', { accept: ['a'] });
  assert.deepEqual([told()[0], served()], ['applied', one.fingerprint256]);
  for (const trigger of ['event', 'resync', 'api'] as const) {
    await run(trigger);
    assert.deepEqual([told(), served()], [['unchanged', 'serving', null], one.fingerprint256]);
  }
  // Accepted was this certificate at that time, not for ever.
  await put({ a: both });
  write({ a: one });
  await run();
  assert.deepEqual([told()[2], served()], ['NAMES_LOST', both.fingerprint256]);
});

test('what is accepted and cannot be activated yet stays accepted while the files are the same', bounded, async (t) => {
  let failing = true;
  const { put, run, served } = await scene(
    t,
    { a: both },
    {
      wrap: (local) => ({
        get current() {
          return local.current;
        },
        prepare: (target, at) =>
          failing && local.current.number > 0 ? Promise.reject(new Error('no memory')) : local.prepare(target, at),
        confirm: (ids) => local.confirm(ids),
        cut: (fingerprints) => local.cut(fingerprints),
      }),
    },
  );
  await assert.rejects(put({ a: one }, 'api', { accept: ['a'] }));
  failing = false;
  await run('resync');
  assert.equal(served(), one.fingerprint256);
});

test('nothing that is not valid is served because somebody accepted it', bounded, async (t) => {
  const { put, told, served } = await scene(t, { a: both });
  await put({ a: lapsed }, 'api', { accept: ['a'] });
  assert.deepEqual([told()[2], served()], ['CERT_EXPIRED', both.fingerprint256]);
  await put({ a: shrunk }, 'api', { accept: ['b'] });
  assert.equal(told()[2], 'NAMES_LOST');
});

test(
  'a chain has to lead to an authority of the bundle that is named, also when the bundle changes',
  bounded,
  async (t) => {
    const other = await createAuthority();
    const stranger = await other.issue({ names: ['x.test', 'y.test'] });
    const activation = { anchors: 'clients' };
    const { put, run, told, served, source } = await scene(t, {}, { activation });
    await put({ a: both });
    assert.deepEqual([told()[2], served()], ['CHAIN_UNANCHORED', undefined]);
    const trust = await scene(t, { a: both }, { activation: {} });
    assert.ok(trust.served());
    const material = (...pems: string[]) => [
      { id: 'clients', source: 's', files: pems.map((pem, i) => ({ path: `/trust/${i}`, bytes: Buffer.from(pem) })) },
    ];
    source.bundles = material(issuer.certificatePem);
    await run();
    assert.equal(served(), both.fingerprint256);
    await put({ a: stranger });
    assert.deepEqual([told()[2], served()], ['CHAIN_UNANCHORED', both.fingerprint256]);
    source.bundles = material(issuer.certificatePem, other.certificatePem);
    await run();
    assert.equal(served(), stranger.fingerprint256);
  },
);
