import assert from 'node:assert/strict';
import { test } from 'node:test';
import { validityOf } from '../../src/certificates/index.ts';

test('a certificate is valid from its first to its last moment, both included', () => {
  const leaf = { notBefore: 1000, notAfter: 2000 };
  const moments = [999, 1000, 1500, 2000, 2001];
  assert.deepEqual(
    moments.map((now) => validityOf(leaf, now)),
    ['pending', 'valid', 'valid', 'valid', 'expired'],
  );
});
