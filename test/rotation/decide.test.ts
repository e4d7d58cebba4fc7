import assert from 'node:assert/strict';
import { test } from 'node:test';
import { expiryLead, type ValidatedIdentity } from '../../src/certificates/index.ts';
import { type Candidate, decide } from '../../src/rotation/index.ts';
import { broken, byId, good, now, synthetic } from './support/synthetic.ts';

const expired = { notBefore: now - 20, notAfter: now - 10 };
const pending = { notBefore: now + 10, notAfter: now + 20 };
const old = synthetic({ id: 'a' });
const next = synthetic({ id: 'a', version: 1 });
const lapsed = synthetic({ id: 'a', ...expired });

interface Case {
  readonly served: ValidatedIdentity | null;
  readonly disk: Candidate | null;
  readonly result: string;
  readonly state: string;
  readonly serves: ValidatedIdentity | null;
  readonly error: string | null;
}

const cases: Record<string, Case> = {
  'a first certificate is applied': {
    served: null,
    disk: good(old),
    result: 'applied',
    state: 'serving',
    serves: old,
    error: null,
  },
  'a renewal is applied': {
    served: old,
    disk: good(next),
    result: 'applied',
    state: 'serving',
    serves: next,
    error: null,
  },
  'an older certificate put back is applied': {
    served: next,
    disk: good(old),
    result: 'applied',
    state: 'serving',
    serves: old,
    error: null,
  },
  'the same certificate, read anew, changes nothing': {
    served: old,
    disk: good(synthetic({ id: 'a' })),
    result: 'unchanged',
    state: 'serving',
    serves: old,
    error: null,
  },
  'a broken one is rejected and the served one stays': {
    served: old,
    disk: broken('a'),
    result: 'rejected',
    state: 'rejected',
    serves: old,
    error: 'KEY_MISMATCH',
  },
  'a broken first one is rejected': {
    served: null,
    disk: broken('a'),
    result: 'rejected',
    state: 'rejected',
    serves: null,
    error: 'KEY_MISMATCH',
  },
  'an expired one is rejected and the served one stays': {
    served: old,
    disk: good(synthetic({ id: 'a', version: 1, ...expired })),
    result: 'rejected',
    state: 'rejected',
    serves: old,
    error: 'CERT_EXPIRED',
  },
  'an expired first one is rejected': {
    served: null,
    disk: good(lapsed),
    result: 'rejected',
    state: 'rejected',
    serves: null,
    error: 'CERT_EXPIRED',
  },
  'one that is not valid yet waits beside the served one': {
    served: old,
    disk: good(synthetic({ id: 'a', version: 1, ...pending })),
    result: 'pending',
    state: 'pending',
    serves: old,
    error: 'CERT_NOT_YET_VALID',
  },
  'a served one that has expired stays and says so': {
    served: lapsed,
    disk: good(lapsed),
    result: 'unchanged',
    state: 'expired',
    serves: lapsed,
    error: 'CERT_EXPIRED',
  },
  'a served one that has expired stays when the next one is broken': {
    served: lapsed,
    disk: broken('a'),
    result: 'rejected',
    state: 'expired',
    serves: lapsed,
    error: 'KEY_MISMATCH',
  },
  'a deleted one stays': {
    served: old,
    disk: null,
    result: 'rejected',
    state: 'rejected',
    serves: old,
    error: 'FILE_MISSING',
  },
  'a deleted one that has expired stays, too': {
    served: lapsed,
    disk: null,
    result: 'rejected',
    state: 'expired',
    serves: lapsed,
    error: 'FILE_MISSING',
  },
};

for (const [title, { served, disk, result, state, serves, error }] of Object.entries(cases)) {
  test(title, () => {
    const decision = decide(byId(...(disk ? [disk] : [])), byId(...(served ? [served] : [])), now);
    assert.equal(decision.verdicts.length, 1);
    const [verdict] = decision.verdicts;
    assert.deepEqual([verdict?.result, verdict?.state, verdict?.error?.code ?? null], [result, state, error]);
    assert.equal(verdict?.served, serves);
    assert.deepEqual(decision.target, serves ? [serves] : []);
    assert.equal(decision.target[0], serves ?? undefined);
    const same = disk?.identity?.fingerprint === serves?.fingerprint && serves !== null;
    assert.equal(verdict?.diskMatchesServed, same);
  });
}

test('a deleted one is dropped when valid ones on disk serve all of its names, and only then', () => {
  const gone = synthetic({ id: 'gone', names: ['x.a.test', 'b.test'] });
  const result = (...others: ValidatedIdentity[]) =>
    decide(byId(...others.map(good)), byId(gone), now).verdicts.find(({ id }) => id === 'gone')?.result;
  const wild = synthetic({ id: 'wild', names: ['*.a.test'] });
  assert.equal(result(wild), 'rejected');
  assert.equal(result(wild, synthetic({ id: 'b', names: ['b.test'] })), 'dropped');
  assert.equal(result(wild, synthetic({ id: 'b', names: ['b.test'], ...expired })), 'rejected');
  assert.equal(result(wild, synthetic({ id: 'b', names: ['b.test'], ...pending })), 'rejected');
  assert.equal(result(synthetic({ id: 'deep', names: ['*.x.a.test', 'b.test'] })), 'rejected');
});

test('two that are deleted together do not make up for one another', () => {
  const [one, two] = ['one', 'two'].map((id) => synthetic({ id, names: ['a.test'] }));
  assert.ok(one && two);
  assert.deepEqual(decide(new Map(), byId(one, two), now).target, [one, two]);
});

test('one without names is never dropped', () => {
  const nameless = synthetic({ id: 'nameless', names: [] });
  assert.ok(decide(byId(good(old)), byId(nameless), now).target.includes(nameless));
});

test('certificates in a directory that cannot be read are out of sight, not gone', () => {
  const inside = synthetic({ id: 'dir/a', names: ['a.test'] });
  const other = synthetic({ id: 'a', names: ['a.test'] });
  const { verdicts, target } = decide(byId(broken('dir'), good(other)), byId(inside), now);
  const verdict = verdicts.find(({ id }) => id === 'dir/a');
  assert.deepEqual([verdict?.result, verdict?.error?.code], ['rejected', 'KEY_MISMATCH']);
  assert.ok(target.includes(inside));
  // The directory of another source is another directory.
  const elsewhere = decide(byId(broken('dir', 'elsewhere'), good(other)), byId(inside), now);
  assert.equal(elsewhere.verdicts.find(({ id }) => id === 'dir/a')?.result, 'dropped');
});

test('an override of names is taken up without a rotation', () => {
  const renamed = synthetic({ id: 'a', names: ['other.test'] });
  const { verdicts, target } = decide(byId(good(renamed)), byId(old), now);
  assert.deepEqual([verdicts[0]?.result, target[0]], ['unchanged', renamed]);
});

test('it is decided again at the next moment at which time alone changes the outcome', () => {
  const waiting = synthetic({ id: 'a', version: 1, notBefore: now + 10, notAfter: now + 500 });
  const wakeAt = (at: number) => decide(byId(good(waiting)), byId(old), at).wakeAt;
  assert.equal(wakeAt(now), now + 10);
  assert.equal(wakeAt(now + 9), now + 10);
  assert.equal(wakeAt(now + 10), now + 501);
  assert.equal(decide(byId(good(waiting)), byId(old), now + 10).verdicts[0]?.result, 'applied');
  assert.equal(decide(byId(good(lapsed)), byId(lapsed), now).wakeAt, null);
  const end = old.leaf.notAfter - expiryLead;
  assert.equal(decide(byId(good(old)), byId(old), end).verdicts[0]?.state, 'serving');
  assert.equal(decide(byId(good(old)), byId(old), end + 1).verdicts[0]?.state, 'expired');
});
