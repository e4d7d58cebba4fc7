import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { AnswerError, checkAnswer } from '../../../src/certificates/plugin/answer.ts';

const now = Date.UTC(2030, 0, 1);
const good = (id: string) => ({ id, certificatePem: 'certificate', keyPem: 'key' });
const check = (answer: unknown) => checkAnswer(answer, now);

describe('what is no answer', () => {
  for (const [answer, message] of [
    [undefined, 'load() returned undefined, not an object'],
    [null, 'load() returned null, not an object'],
    ['text', 'load() returned a string, not an object'],
    [{}, 'identities is undefined, not an array'],
    [{ identities: {} }, 'identities is an object, not an array'],
    [{ identities: 'abc' }, 'identities is a string, not an array'],
    [{ identities: new Array(10_001) }, 'identities has 10001 entries; the limit is 10000'],
    [
      { identities: Array.from({ length: 70 }, (_, i) => ({ ...good(`${i}`), keyPem: 'x'.repeat(1024 * 1024) })) },
      'identities has more than 67108864 characters',
    ],
  ] as const) {
    test(message, () => {
      assert.throws(() => check(answer), new AnswerError(message));
    });
  }
});

describe('one identity that is wrong is named, and the others go on', () => {
  for (const [one, identity, message] of [
    [null, '#1', 'identities[1] is null, not an object'],
    ['x', '#1', 'identities[1] is a string, not an object'],
    [{}, '#1', 'identities[1].id is undefined, not a string'],
    [{ ...good('x'), id: 7 }, '#1', 'identities[1].id is a number, not a string'],
    [good(''), '#1', 'identities[1].id is empty'],
    [good('x'.repeat(201)), '#1', 'identities[1].id has more than 200 characters'],
    [good('a\nb'), '#1', 'identities[1].id holds a control character'],
    [good('a\u202eb'), '#1', 'identities[1].id holds a control character'],
    [good('first'), '#1', 'identities[1].id is the id of another identity too'],
    [{ ...good('x'), certificatePem: undefined }, 'x', 'identities[1].certificatePem is not a string'],
    [{ ...good('x'), keyPem: Buffer.from('key') }, 'x', 'identities[1].keyPem is not a string'],
    [
      { ...good('x'), keyPem: 'k'.repeat(1024 * 1024 + 1) },
      'x',
      'identities[1].keyPem has 1048577 characters; the limit is 1048576',
    ],
    [{ ...good('x'), passphrase: 7 }, 'x', 'identities[1].passphrase is not a string'],
    [{ ...good('x'), names: 'a.test' }, 'x', 'identities[1].names is a string, not an array'],
    [{ ...good('x'), names: ['a.test', 7] }, 'x', 'identities[1].names[1] is not a string'],
    [{ ...good('x'), names: new Array(1) }, 'x', 'identities[1].names[0] is not a string'],
  ] as const) {
    test(message, () => {
      const { identities, flaws } = check({ identities: [good('first'), one, good('last')] });
      assert.deepEqual(flaws, [{ identity, message }]);
      assert.deepEqual(identities, [good('first'), good('last')]);
    });
  }

  test('a right one does not take the place of a wrong one of the same id', () => {
    const { identities, flaws } = check({ identities: [{ id: 'x' }, good('x')] });
    assert.deepEqual(identities, []);
    assert.deepEqual(
      flaws.map((flaw) => flaw.identity),
      ['x', '#1'],
    );
  });
});

test('nothing but what is known is taken over', () => {
  const { identities } = check({
    identities: [
      { ...good('a'), passphrase: 'open', names: ['a.test'], extra: () => {} },
      { ...good('b'), names: null },
    ],
  });
  assert.deepEqual(identities, [{ ...good('a'), passphrase: 'open', names: ['a.test'] }, good('b')]);
});

describe('askAgainAt', () => {
  for (const value of [new Date(now + 1000), now + 1000, '2030-01-01T00:00:01Z', '2030-01-01T01:00:01.000+01:00']) {
    test(`${typeof value} ${String(value)} is a time`, () => {
      assert.deepEqual(check({ identities: [], askAgainAt: value }), {
        identities: [],
        flaws: [],
        askAgainAt: now + 1000,
        watch: [],
      });
    });
  }
  const none = 'askAgainAt is neither a Date nor milliseconds since 1970 nor an ISO 8601 date';
  for (const [value, message] of [
    ['soon', none],
    ['1', none],
    [Number.NaN, none],
    [Number.POSITIVE_INFINITY, none],
    [1e300, none],
    [new Date(Number.NaN), none],
    [{}, none],
    [true, none],
    [now - 1, 'askAgainAt is in the past (2029-12-31T23:59:59.999Z)'],
    // Seconds, which is a mistake that is easily made.
    [now / 1000, 'askAgainAt is in the past (1970-01-22T21:57:36.000Z)'],
  ] as const) {
    test(`${typeof value} ${String(value)} is a flaw, and the identities go on`, () => {
      assert.deepEqual(check({ identities: [good('a')], askAgainAt: value }), {
        identities: [good('a')],
        flaws: [{ message }],
        watch: [],
      });
    });
  }
});

describe('watch', () => {
  for (const [watch, message] of [
    ['.', 'watch is a string, not an array'],
    [[7], 'watch[0] is not a string'],
    [['a', ''], 'watch[1] is not a path'],
    [['a\0b'], 'watch[0] is not a path'],
    [new Array(101), 'watch has 101 entries; the limit is 100'],
  ] as const) {
    test(`${message}: a flaw, and the identities go on`, () => {
      assert.deepEqual(check({ identities: [good('a')], watch }), {
        identities: [good('a')],
        flaws: [{ message }],
        watch: [],
      });
    });
  }
});
