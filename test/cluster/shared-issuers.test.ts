import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SharedIssuers } from '../../src/cluster/shared-issuers.ts';

const certificate = (number: number) => new Uint8Array([number >> 8, number & 255]);

test('what is learned is news once, whoever says it, in whatever kind of bytes', () => {
  const issuers = new SharedIssuers();
  assert.deepEqual(issuers.learn([certificate(1), certificate(2), certificate(1)]), [certificate(1), certificate(2)]);
  assert.deepEqual(issuers.learn([Buffer.from(certificate(2)), certificate(3)]), [certificate(3)]);
  assert.deepEqual(issuers.all, [certificate(1), certificate(2), certificate(3)]);
});

test('of more than are kept, the oldest are forgotten, and news again when they come back', () => {
  const issuers = new SharedIssuers();
  issuers.learn(Array.from({ length: 300 }, (_, i) => certificate(i)));
  assert.equal(issuers.all.length, 256);
  assert.deepEqual(issuers.all[0], certificate(44));
  assert.deepEqual(issuers.learn([certificate(299)]), []);
  assert.deepEqual(issuers.learn([certificate(0)]), [certificate(0)]);
});
