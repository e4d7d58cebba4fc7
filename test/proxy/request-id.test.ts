import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRequestId } from '../../src/proxy/request-id.ts';

test('a request id is a random UUID, and never the same twice', () => {
  const ids = new Set(Array.from({ length: 10_000 }, createRequestId));
  assert.equal(ids.size, 10_000);
  const digits = Array.from({ length: 36 }, () => new Set<string>());
  for (const id of ids) {
    assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    for (const [i, digit] of [...id].entries()) digits[i]?.add(digit);
  }
  // 122 bits of chance, at every place where there is room for any.
  const values = digits.map(({ size }) => size);
  assert.deepEqual(
    values,
    [...'gggggggg-gggg-1ggg-4ggg-gggggggggggg'].map((one) => (one === 'g' ? 16 : one === '4' ? 4 : 1)),
  );
});
