import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { coversHost, isServableName, namesOf, normalizeName } from '../../src/certificates/names.ts';
import { createAuthority } from '../support/pki.ts';

const long = 'a'.repeat(63);

describe('the names of a certificate', async () => {
  const authority = await createAuthority();
  for (const [what, san, names, unusable] of [
    ['host names and wildcards', ['a.test', '*.b.test', 'localhost'], ['a.test', '*.b.test', 'localhost'], []],
    ['lower case, without the trailing dot', ['A.Test', 'B.test.', '*.C.TEST.'], ['a.test', 'b.test', '*.c.test'], []],
    ['each once', ['a.test', 'A.TEST', 'a.test.'], ['a.test'], []],
    ['no IP addresses', ['127.0.0.1', '::1', 'a.test'], ['a.test'], []],
    ['an entry that pretends to be two', ['a.test, DNS:bank.test', 'b.test'], ['b.test'], ['a.test, dns:bank.test']],
    [
      'an entry with quotes',
      ['"a.test"', 'x", DNS:bank.test', 'b.test'],
      ['b.test'],
      ['"a.test"', 'x", dns:bank.test'],
    ],
    [
      'wildcards that match nothing',
      ['*', '*.test', 'a*.b.test', 'a.*.test'],
      [],
      ['*', '*.test', 'a*.b.test', 'a.*.test'],
    ],
  ] as const) {
    test(what, async () => {
      const { x509 } = await authority.issue({ names: san, commonName: 'common.test' });
      assert.deepEqual(namesOf(x509), { names, unusable });
    });
  }

  test('the common name is none of them', async () => {
    const { x509 } = await authority.issue({ commonName: 'common.test', noSan: true });
    assert.deepEqual(namesOf(x509), { names: [], unusable: [] });
  });
});

test('a name can be served when it is a host name, or a wildcard that is the whole first label', () => {
  const servable = [
    'a',
    'a.test',
    'a-b.test',
    '_x._y.test',
    'xn--bcher-kva.test',
    '*.a.test',
    `${long}.test`,
    `*.${long}.test`,
  ];
  const not = ['', '.', 'a..test', '.a.test', '-a.test', 'a-.test', 'ä.test', 'a b.test', '*', '*.test', '*.*.test'];
  not.push('*a.b.test', 'a.*.test', `${long}a.test`, `*.${long}a.test`, Array(64).fill('abc').join('.'));
  assert.deepEqual(servable.filter(isServableName), servable);
  assert.deepEqual(not.filter(isServableName), []);
});

test('names are compared without case and trailing dot', () => {
  for (const name of ['a.test', 'A.TEST', 'a.Test.']) assert.equal(normalizeName(name), 'a.test');
  assert.equal(normalizeName('a.test..'), 'a.test.');
});

test('a wildcard covers exactly one label', () => {
  const names = ['a.test', '*.b.test'];
  const hosts = ['a.test', 'x.b.test', 'b.test', 'x.y.b.test', 'x.a.test', '.b.test', 'xb.test', ''];
  assert.deepEqual(
    hosts.filter((host) => coversHost(names, host)),
    ['a.test', 'x.b.test'],
  );
});
