import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { createSecureContext } from 'node:tls';
import type { ValidatedIdentity } from '../../src/certificates/index.ts';
import {
  buildNameIndex,
  ContextStore,
  type Generation,
  type RehearsalOptions,
  rehearse,
  type ServedIdentity,
} from '../../src/tls/index.ts';
import type { LeafOptions } from '../support/pki.ts';
import { bounded } from '../support/swivel.ts';
import { authority, freshIdentity, identityOf, serve, targetOf } from './support/identities.ts';

const issuer = await authority();
const usual = { minVersion: 'TLSv1.2' } as const;
const a = await freshIdentity('a');

const issued = async (options: LeafOptions) => identityOf('a', await issuer.issue({ names: ['a.test'], ...options }));

/** A certificate as it would be served. @param keys of another one: what the context is made of by mistake */
function servedOf(identity: ValidatedIdentity, keys: ValidatedIdentity = identity): ServedIdentity {
  const context = createSecureContext({ cert: keys.chainPem, key: keys.keyPem.reveal() });
  return { identity, context, since: 1, activatedAt: new Date() };
}

function generationOf(...served: ServedIdentity[]): Generation {
  return { index: buildNameIndex(served, Date.now()) } as unknown as Generation;
}

const rehearsed = (identity: ValidatedIdentity, options: RehearsalOptions = usual) => {
  const served = servedOf(identity);
  return rehearse(served, generationOf(served), options);
};

for (const keyType of ['rsa-2048', 'ec-p256', 'ec-p384', 'ed25519'] as const) {
  test(`a good certificate with a key of ${keyType} passes`, bounded, async () => {
    const identity = await issued({ keyType });
    for (const minVersion of ['TLSv1.2', 'TLSv1.3'] as const)
      assert.equal(await rehearsed(identity, { minVersion }), null);
  });
}

const shapes: Record<string, LeafOptions> = {
  'many names and a wildcard': { names: ['a.test', '*.a.test', 'b.test'] },
  'a wildcard alone': { names: ['*.a.test'] },
  'no names': { names: [], commonName: 'nobody' },
  'addresses only': { names: ['192.0.2.1', '2001:db8::1'] },
  'a name as long as can be': { names: [`*.${'a'.repeat(61)}.${'b'.repeat(63)}.${'c'.repeat(63)}.${'d'.repeat(58)}`] },
};
for (const [what, options] of Object.entries(shapes)) {
  test(`a certificate with ${what} passes`, bounded, async () =>
    assert.equal(await rehearsed(await issued(options)), null),
  );
}

test('a chain with intermediates passes, and has to be shown whole', bounded, async () => {
  const upper = await issuer.intermediate();
  const lower = await upper.intermediate({ keyType: 'rsa-2048' });
  const leaf = await lower.issue({ names: ['a.test'] });
  const whole = identityOf('a', leaf);
  assert.equal(whole.chainPem.match(/BEGIN/g)?.length, 3);
  assert.equal(await rehearsed(whole), null);
  const cut = { ...whole, chainPem: leaf.certificatePem };
  const served = servedOf(whole, cut);
  assert.equal(await rehearse(served, generationOf(served), usual), 'TLSv1.3 for a.test: another chain was shown');
});

test('a context that holds another certificate is found out', bounded, async () => {
  const other = await freshIdentity('a');
  const served = servedOf(a, other);
  assert.match((await rehearse(served, generationOf(served), usual)) ?? '', /another chain was shown/);
});

test('ciphers that do not go with the key are found out, and with it the version that fails', bounded, async () => {
  const both = 'TLS_AES_128_GCM_SHA256:ECDHE-RSA-AES128-GCM-SHA256';
  assert.match((await rehearsed(a, { ...usual, ciphers: both })) ?? '', /^TLSv1\.2 for a\.test: \S+/);
  assert.equal(await rehearsed(a, { minVersion: 'TLSv1.3', ciphers: both }), null);
  const rsa = await issued({ keyType: 'rsa-2048' });
  assert.equal(await rehearsed(rsa, { ...usual, ciphers: both }), null);
});

test('a context that cannot be had any more is an answer too', bounded, async () => {
  const served = servedOf(a);
  Object.defineProperty(served, 'context', {
    get: () => {
      throw new Error('no memory');
    },
  });
  assert.match((await rehearse(served, generationOf(served), usual)) ?? '', /^TLSv1\.3 for a\.test: no memory$/);
});

test('a version for which no cipher is left is not asked for: it is no fault of the certificate', bounded, async () => {
  assert.equal(await rehearsed(a, { ...usual, ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' }), null);
  assert.equal(await rehearsed(a, { ...usual, ciphers: 'TLS_AES_256_GCM_SHA384' }), null);
  // A client of Node does not offer this one of itself.
  assert.equal(
    await rehearsed(a, { ...usual, ciphers: 'ECDHE-ECDSA-CAMELLIA256-SHA384:TLS_AES_128_GCM_SHA256' }),
    null,
  );
  assert.match((await rehearsed(a, { ...usual, ciphers: 'NO-SUCH-CIPHER' })) ?? '', /cipher/i);
});

test(
  'a name that another certificate serves is left to that one; what is left without a name is tried as the default',
  bounded,
  async () => {
    const winner = await freshIdentity('b', ['a.test']);
    const mine = servedOf(a);
    const generation = generationOf(mine, servedOf({ ...winner, leaf: { ...winner.leaf, notBefore: Date.now() - 1 } }));
    assert.equal(generation.index.exact.get('a.test')?.identity.id, 'b');
    assert.equal(await rehearse(mine, generation, usual), null);
    const wrong = await rehearse(servedOf(a, winner), generation, { ...usual, ciphers: 'ECDHE-RSA-AES128-GCM-SHA256' });
    assert.match(wrong ?? '', /^TLSv1\.2: /);
  },
);

test('of thousands of names only some are tried', bounded, async () => {
  const names = Array.from({ length: 2000 }, (_, i) => `h${i}.test`);
  const served = servedOf({ ...a, names });
  let handshakes = 0;
  const counting = new Proxy(served, {
    get: (target, key: keyof ServedIdentity) => {
      if (key === 'context') handshakes += 1;
      return target[key];
    },
  });
  assert.equal(await rehearse(counting, generationOf(served), usual), null);
  assert.equal(handshakes, 64);
});

test('a rehearsal leaves nothing behind, whatever comes of it', bounded, async () => {
  const held = () => process.getActiveResourcesInfo().filter((kind) => kind !== 'Immediate');
  const before = held();
  for (const ciphers of [undefined, 'TLS_AES_128_GCM_SHA256:ECDHE-RSA-AES128-GCM-SHA256']) {
    await rehearsed(a, { ...usual, ...(ciphers === undefined ? {} : { ciphers }) });
  }
  await nextTurn();
  await nextTurn();
  assert.deepEqual(held(), before);
});

test('a rehearsal keeps no process', bounded, async (t) => {
  const code = `
    const { ContextStore } = await import(${JSON.stringify(import.meta.resolve('../../src/tls/index.ts'))});
    const { freshIdentity, targetOf } = await import(${JSON.stringify(import.meta.resolve('./support/identities.ts'))});
    const store = new ContextStore({ unknownName: 'default', rehearsal: { minVersion: 'TLSv1.2' } });
    const prepared = await store.prepare(targetOf([await freshIdentity('a')]), Date.now());
    process.stdout.write(String(prepared.failures.length));
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  const ended = once(child, 'exit');
  const [said] = (await once(child.stdout, 'data')) as [Buffer];
  assert.equal(String(said), '0');
  assert.deepEqual(await ended, [0, null]);
});

test('what fails its rehearsal is reported and keeps what it has; the others go on', bounded, async () => {
  const ciphers = 'TLS_AES_128_GCM_SHA256:ECDHE-ECDSA-AES128-GCM-SHA256';
  const store = new ContextStore({ unknownName: 'default', canaryShare: 1, rehearsal: { ...usual, ciphers } });
  const b = await freshIdentity('b');
  await serve(store, a, b);
  const before = store.current.served.get('a');
  const [rsa, newB] = [await issued({ keyType: 'rsa-2048' }), await freshIdentity('b')];
  const prepared = await store.prepare(targetOf([rsa, newB, { ...rsa, id: 'c' }], { canaries: [rsa] }), Date.now());
  assert.deepEqual(
    prepared.failures.map(({ code, identity, file }) => [code, identity, file]),
    [
      ['HANDSHAKE_FAILED', 'a', 'a.crt'],
      ['HANDSHAKE_FAILED', 'c', 'a.crt'],
      ['HANDSHAKE_FAILED', 'a', 'a.crt'],
    ],
  );
  assert.deepEqual(prepared.commit(), new Set([b.fingerprint]));
  assert.equal(store.current.served.get('a'), before);
  assert.equal(store.choose('a.test'), before);
  assert.deepEqual([...store.current.served.keys()], ['a', 'b']);
  assert.equal(store.current.canaries.size, 0);
  assert.equal(store.resolve('b.test')?.identity, newB);
});

test('what did not change is not rehearsed again', bounded, async () => {
  const rehearsal: { minVersion: 'TLSv1.2'; ciphers?: string } = { minVersion: 'TLSv1.2' };
  const store = new ContextStore({ unknownName: 'default', rehearsal });
  await serve(store, a);
  rehearsal.ciphers = 'TLS_AES_128_GCM_SHA256:ECDHE-RSA-AES128-GCM-SHA256';
  const prepared = await store.prepare(targetOf([a]), Date.now());
  assert.deepEqual(prepared.failures, []);
  prepared.abort();
});
