import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bounded } from '../support/swivel.ts';
import { authority, refusedLeaf } from '../tls/support/identities.ts';
import { scene } from './support/scene.ts';

const issuer = await authority();
const one = await issuer.issue({ names: ['a.test'] });
const useless = await refusedLeaf(['useless.test']);
const better = await issuer.issue({ names: ['useless.test'] });

/** So many that contexts are built when clients want them. */
const filling = Object.fromEntries(Array.from({ length: 120 }, (_, i) => [`many-${i}`, one]));

test(
  'what turns out to be of no use when a client wants it is rejected, until its files change',
  bounded,
  async (t) => {
    const s = await scene(t, { ...filling, a: one, useless });
    s.store.onRefused((refusal) => s.reconciler.refused(refusal));
    assert.deepEqual(s.told('useless'), ['applied', 'serving', null]);
    const { number } = s.store.current;
    assert.equal(s.store.present('useless.test'), undefined);
    await s.run();
    assert.deepEqual(s.told('useless'), ['rejected', 'rejected', 'CONTEXT_FAILED']);
    assert.equal(s.served('useless'), undefined);
    assert.equal(s.store.current.number, number + 1);
    assert.equal(s.served('a'), one.fingerprint256);
    await s.run('api');
    assert.equal(s.store.current.number, number + 1);
    assert.equal(s.logged('rejected', 'useless'), 1);
    await s.put({ useless: better });
    assert.deepEqual(s.told('useless'), ['applied', 'serving', null]);
    assert.equal(s.store.present('useless.test')?.served.identity.leaf.fingerprint256, better.fingerprint256);
  },
);
