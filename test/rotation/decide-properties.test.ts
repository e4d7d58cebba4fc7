import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { coversHost, type ValidatedIdentity, validityOf } from '../../src/certificates/index.ts';
import { type Candidate, decide } from '../../src/rotation/index.ts';
import { broken, byId, good, now, synthetic } from './support/synthetic.ts';

/** Names go with the id, as with renewals: an operator who puts other names under an id means it. */
const namesOf: Record<string, readonly string[]> = {
  a: ['x.test'],
  b: ['x.test', 'y.test'],
  c: ['*.test'],
  'd/e': ['y.test', 'z.test'],
  d: ['d.test'],
  f: [],
};
const ids = Object.keys(namesOf);
const hosts = ['x.test', 'y.test', 'z.test', 'd.test'];

/** When a version of a certificate is valid, relative to now. */
const dates: readonly (readonly [number, number])[] = [
  [-20, -10],
  [-10, 10],
  [-5, 5],
  [10, 20],
];

const identity = (id: string) =>
  fc.tuple(fc.nat(7), fc.constantFrom('s', 't')).map(([version, source]) => {
    const [from, to] = dates[version % dates.length] ?? [0, 0];
    return synthetic({ id, names: namesOf[id] ?? [], version, source, notBefore: now + from, notAfter: now + to });
  });
const servedSet = fc
  .tuple(...ids.map((id) => fc.option(identity(id))))
  .map((all) => byId(...all.filter((one) => one !== null)));
const candidate = (id: string): fc.Arbitrary<Candidate> =>
  fc.oneof(
    identity(id).map(good),
    fc.constantFrom('s', 't').map((source) => broken(id, source)),
  );
const disk = fc
  .tuple(...ids.map((id) => fc.option(candidate(id))))
  .map((all) => byId(...all.filter((one) => one !== null)));

/** The hosts for which there is a valid certificate. */
function validHosts(identities: Iterable<ValidatedIdentity>): string[] {
  const valid = [...identities].filter(({ leaf }) => validityOf(leaf, now) === 'valid');
  return hosts.filter((host) => valid.some(({ names }) => coversHost(names, host)));
}

test('whatever is on disk, a name that has a valid certificate keeps one', () => {
  fc.assert(
    fc.property(disk, servedSet, (candidates, served) => {
      const after = new Set(validHosts(decide(candidates, served, now).target));
      for (const host of validHosts(served.values())) assert.ok(after.has(host), host);
    }),
  );
});

test('what is served is what was served or what is valid on disk, and never two for one id', () => {
  fc.assert(
    fc.property(disk, servedSet, (candidates, served) => {
      const { target } = decide(candidates, served, now);
      assert.equal(new Set(target.map(({ id }) => id)).size, target.length);
      for (const one of target) {
        if (served.get(one.id) === one) continue;
        assert.equal(candidates.get(one.id)?.identity, one);
        const renewed = served.get(one.id)?.fingerprint !== one.fingerprint;
        if (renewed) assert.equal(validityOf(one.leaf, now), 'valid');
      }
    }),
  );
});

test('whether a certificate is good or broken on disk changes no verdict on another one that is on disk', () => {
  fc.assert(
    fc.property(disk, servedSet, fc.constantFrom(...ids), (candidates, served, id) => {
      const without = new Map(candidates).set(id, broken(id));
      const verdicts = (set: Map<string, Candidate>) =>
        decide(set, served, now).verdicts.filter((verdict) => verdict.id !== id && candidates.has(verdict.id));
      assert.deepEqual(verdicts(without), verdicts(candidates));
    }),
  );
});

test('what did not change is the very object that is served', () => {
  fc.assert(
    fc.property(servedSet, (served) => {
      const copies = byId(...[...served.values()].map((one) => good({ ...one })));
      const { target, verdicts } = decide(copies, served, now);
      assert.equal(target.length, served.size);
      for (const one of target) assert.equal(served.get(one.id), one);
      assert.ok(verdicts.every(({ result, diskMatchesServed }) => result === 'unchanged' && diskMatchesServed));
    }),
  );
});

test('to decide again after a decision changes nothing', () => {
  fc.assert(
    fc.property(disk, servedSet, (candidates, served) => {
      const { target } = decide(candidates, served, now);
      const again = decide(candidates, byId(...target), now);
      assert.deepEqual(again.target, target);
      for (const one of again.target) assert.ok(target.includes(one));
      assert.ok(again.verdicts.every(({ result }) => result !== 'applied' && result !== 'dropped'));
    }),
  );
});

test('the order on disk does not matter', () => {
  fc.assert(
    fc.property(disk, servedSet, (candidates, served) => {
      const backwards = new Map([...candidates].reverse());
      assert.deepEqual(decide(backwards, served, now), decide(candidates, served, now));
    }),
  );
});

test('whatever names certificates have on disk, a name that has a valid certificate keeps one', () => {
  const names = fc.subarray(['x.test', 'y.test', 'z.test'], { minLength: 1 });
  const some = (version: number) =>
    fc
      .tuple(names, names, names)
      .map((all) => all.map((each, i) => synthetic({ id: 'abc'[i] ?? '', names: each, version })));
  fc.assert(
    fc.property(some(0), some(1), fc.nat(7), (served, onDisk, brokenOnes) => {
      const candidates = byId(...onDisk.map((one, i) => (brokenOnes & (1 << i) ? broken(one.id) : good(one))));
      const after = new Set(validHosts(decide(candidates, byId(...served), now).target));
      for (const host of validHosts(served)) assert.ok(after.has(host), host);
    }),
    { numRuns: 1000 },
  );
});
