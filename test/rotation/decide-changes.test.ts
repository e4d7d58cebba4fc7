import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { ValidatedIdentity } from '../../src/certificates/index.ts';
import { finding } from '../../src/errors.ts';
import { LayeredMap } from '../../src/files/index.ts';
import { CarriedOut, decideChanges } from '../../src/rotation/decide-changes.ts';
import { type Candidate, decide, plainRules, type Rules } from '../../src/rotation/index.ts';
import { broken, good, now, synthetic } from './support/synthetic.ts';

const rules: Rules = { ...plainRules, uneventful: true, expiryWarnings: [3000, 900, 300] };
/** So many that a change is laid over them. */
const others = Array.from({ length: 1000 }, (_, n) =>
  synthetic({ id: `o${String(n).padStart(4, '0')}`, notBefore: now - 10_000, notAfter: now + 10_000 + n }),
);
const few = ['a', 'o0500', 'z'];

/** What happens to one certificate on disk; null: its files go. */
const change = fc.oneof(
  { weight: 12, arbitrary: fc.record({ version: fc.nat(3), notAfter: fc.constantFrom(500, 950, 2000, 9000) }) },
  { weight: 1, arbitrary: fc.record({ version: fc.nat(3), notAfter: fc.constant(-100) }) },
  { weight: 1, arbitrary: fc.record({ version: fc.nat(3), notAfter: fc.constant(9000), warns: fc.constant(true) }) },
  { weight: 1, arbitrary: fc.record({ version: fc.nat(3), notAfter: fc.constant(9000), loses: fc.constant(true) }) },
  { weight: 1, arbitrary: fc.constantFrom('broken' as const, 'gone' as const) },
);
const steps = fc.array(
  fc.record({
    changes: fc.uniqueArray(fc.tuple(fc.constantFrom(...few), change), { selector: ([id]) => id, maxLength: 3 }),
    later: fc.constantFrom(0, 0, 0, 1, 100, 700),
  }),
  { minLength: 1, maxLength: 12 },
);

type Change = typeof change extends fc.Arbitrary<infer T> ? T : never;

function candidateOf(id: string, what: Change): Candidate | null {
  if (what === 'gone') return null;
  if (what === 'broken') return broken(id);
  const { version, notAfter } = what;
  const names = 'loses' in what ? [] : [`${id}.test`];
  // Two of one fingerprint differ in nothing.
  const unique = version * 100_000 + notAfter * 10 + names.length;
  const one = good(synthetic({ id, version: unique, names, notAfter: now + notAfter, notBefore: now - 30_000 }));
  const warning = finding('CHAIN_INCOMPLETE', 'warning', { identity: id, message: 'incomplete' });
  return 'warns' in what ? { ...one, findings: [warning] } : one;
}

const start = new Map([...others, ...['a', 'z'].map((id) => synthetic({ id }))].map((one) => [one.id, good(one)]));
const served = (target: readonly ValidatedIdentity[]) => new Map(target.map((one) => [one.id, one]));

test('what is decided of changes alone is what is decided of everything, through any sequence of changes', () => {
  let incremental = 0;
  fc.assert(
    fc.property(steps, (sequence) => {
      let candidates: ReadonlyMap<string, Candidate> = start;
      let at = now;
      let current = served([...start.values()].flatMap(({ identity }) => identity ?? []));
      let before = new CarriedOut(candidates, decide(candidates, current, at, rules), at);
      for (const { changes, later } of sequence) {
        at += later;
        candidates = LayeredMap.over(candidates, new Map(changes.map(([id, what]) => [id, candidateOf(id, what)])));
        const full = decide(candidates, current, at, rules);
        const part = decideChanges(before, candidates, current, at, rules);
        if (part) {
          incremental += 1;
          const { touched = [], ...rest } = part;
          assert.deepEqual({ ...rest, wakeAt: null }, { ...full, wakeAt: null });
          assert.equal(rest.wakeAt, full.wakeAt);
          const told = new Set(touched);
          for (const [i, verdict] of rest.verdicts.entries()) {
            if (told.has(verdict)) continue;
            assert.equal(verdict, before.decision.verdicts[i]);
            assert.equal(verdict.error, null);
          }
        }
        const decision = part ?? full;
        current = served(decision.target);
        before = new CarriedOut(candidates, decision, at);
      }
    }),
    { numRuns: 60 },
  );
  assert.ok(incremental > 20, `only ${incremental} were decided by changes`);
});

/** A decision that was carried out, and one certificate that is renewed after it. */
function renewal() {
  const current = served([...start.values()].flatMap(({ identity }) => identity ?? []));
  const before = new CarriedOut(start, decide(start, current, now, rules), now);
  const renewed = synthetic({ id: 'a', version: 1 });
  return { current, before, renewed, candidates: LayeredMap.over(start, new Map([['a', good(renewed)]])) };
}

test('a renewal among a thousand is decided by itself, and named', () => {
  const { current, before, renewed, candidates } = renewal();
  const decision = decideChanges(before, candidates, current, now, rules);
  assert.deepEqual(
    decision?.touched?.map(({ id, result, served: one }) => [id, result, one]),
    [['a', 'applied', renewed]],
  );
});

test('all is decided where something is held or accepted, where time turned something, or went backwards', () => {
  const { current, before, candidates } = renewal();
  assert.ok(decideChanges(before, candidates, current, now, { ...rules, uneventful: false }) === null);
  assert.ok(decideChanges(before, candidates, current, now - 1, rules) === null);
  assert.ok(decideChanges(before, candidates, current, before.decision.wakeAt ?? 0, rules) === null);
});

test('all is decided where a certificate goes on trial or waits', () => {
  const { current, before, candidates } = renewal();
  const trial: Rules = { ...rules, trialOf: () => 'none', trialEnd: (_, at) => at + 10 };
  assert.ok(decideChanges(before, candidates, current, now, trial) === null);
  assert.ok(decideChanges(before, candidates, current, now, { ...rules, activatesAt: (_, at) => at + 10 }) === null);
});

test('all is decided where a name goes, which another certificate may serve', () => {
  const { current, before } = renewal();
  const narrower = synthetic({ id: 'a', version: 1, names: ['other.test'] });
  const candidates = LayeredMap.over(start, new Map([['a', good(narrower)]]));
  const lenient: Rules = { ...rules, gate: { ...rules.gate, namesLost: 'warn' } };
  assert.ok(decideChanges(before, candidates, current, now, lenient) === null);
});
