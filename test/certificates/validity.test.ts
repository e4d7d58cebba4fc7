import assert from 'node:assert/strict';
import { test } from 'node:test';
import { expiryLead, validityOf } from '../../src/certificates/index.ts';

test('a certificate is valid from its first moment to shortly before its last one', () => {
  const leaf = { notBefore: 1000, notAfter: 9000 };
  const end = leaf.notAfter - expiryLead;
  const moments = [999, 1000, 1500, end, end + 1];
  assert.deepEqual(
    moments.map((now) => validityOf(leaf, now)),
    ['pending', 'valid', 'valid', 'valid', 'expired'],
  );
});
