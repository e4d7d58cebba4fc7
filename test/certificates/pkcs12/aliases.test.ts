import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { aliasesOf } from '../../../src/certificates/pkcs12/aliases.ts';

test('a key is called by its friendlyName, made fit for an id', () => {
  for (const [name, alias] of [
    ['web', 'web'],
    ['Web shop (2026)', 'Web-shop-2026'],
    ['köln.example', 'köln.example'],
    ['../../etc/passwd', 'etc-passwd'],
    ['a\r\nb\0c', 'a-b-c'],
    ['x'.repeat(500), 'x'.repeat(64)],
  ] as const) {
    assert.deepEqual(aliasesOf([name]), [alias]);
  }
});

test('a key without a usable name is called by its place', () => {
  assert.deepEqual(aliasesOf(['web', null, '', '///', '..']), ['web', '2', '3', '4', '5']);
});

test('two keys never have one name', () => {
  assert.deepEqual(aliasesOf(['web', 'web', 'web', 'web-2']), ['web', 'web-2', 'web-3', 'web-2-2']);
  fc.assert(
    fc.property(fc.array(fc.option(fc.string({ unit: 'binary', maxLength: 3 })), { maxLength: 6 }), (names) => {
      const aliases = aliasesOf(names);
      assert.equal(new Set(aliases).size, names.length);
      for (const alias of aliases) assert.match(alias, /^[\p{L}\p{N}_][\p{L}\p{N}._-]*$/u);
    }),
  );
});
