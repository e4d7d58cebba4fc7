import assert from 'node:assert/strict';
import { test } from 'node:test';
import { expiryLead, type ValidatedIdentity } from '../../src/certificates/index.ts';
import { buildNameIndex, lookUp } from '../../src/tls/index.ts';

const now = Date.parse('2030-01-01');

interface Facts {
  names: string[];
  notBefore?: number;
  notAfter?: number;
}

function entry(id: string, { names, notBefore = now - 10, notAfter = now + 10 }: Facts) {
  const files = { certificate: `${id}.crt`, key: `${id}.key` };
  const leaf = { notBefore, notAfter: notAfter + expiryLead };
  return { identity: { id, names, files, leaf } as unknown as ValidatedIdentity };
}

function servedBy(host: string, ...entries: ReturnType<typeof entry>[]): string | undefined {
  return lookUp(buildNameIndex(entries, now), host)?.identity.id;
}

test('a name is found exactly, or below a wildcard by exactly one label', () => {
  const entries = [entry('wild', { names: ['*.a.test'] }), entry('exact', { names: ['b.a.test', 'c.test'] })];
  const expected: [string, string | undefined][] = [
    ['b.a.test', 'exact'],
    ['c.test', 'exact'],
    ['x.a.test', 'wild'],
    ['a.test', undefined],
    ['y.x.a.test', undefined],
    ['.a.test', undefined],
    ['*.a.test', 'wild'],
    ['xa.test', undefined],
    ['test', undefined],
    ['', undefined],
  ];
  for (const [host, id] of expected) assert.equal(servedBy(host, ...entries), id, host);
});

test('of two for one name the unexpired wins, then the newer one, then the id, in whatever order they come', () => {
  const name = ['a.test'];
  const expired = entry('expired', { names: name, notBefore: now - 5, notAfter: now - 1 });
  const old = entry('old', { names: name, notBefore: now - 100 });
  const young = entry('young', { names: name, notBefore: now - 50 });
  const twin = entry('twin', { names: name, notBefore: now - 50 });
  for (const [one, other, winner] of [
    [expired, old, 'old'],
    [old, young, 'young'],
    [twin, young, 'twin'],
  ] as const) {
    assert.equal(servedBy('a.test', one, other), winner);
    assert.equal(servedBy('a.test', other, one), winner);
  }
});

test('a certificate that becomes valid later does not take the name of a valid one', () => {
  const pending = entry('pending', { names: ['a.test'], notBefore: now + 5 });
  assert.equal(servedBy('a.test', pending, entry('valid', { names: ['a.test'] })), 'valid');
});

test('the one that lost a name is told, with both names and files', () => {
  const entries = [
    entry('new', { names: ['a.test', '*.a.test'], notBefore: now - 1 }),
    entry('old', { names: ['*.a.test'] }),
  ];
  const { shadowed } = buildNameIndex(entries, now);
  assert.equal(shadowed.length, 1);
  const [found] = shadowed;
  assert.deepEqual([found?.code, found?.severity], ['NAME_SHADOWED', 'warning']);
  assert.deepEqual([found?.identity, found?.file], ['old', 'old.crt']);
  assert.match(found?.message ?? '', /\*\.a\.test.*new.*new\.crt/);
});
