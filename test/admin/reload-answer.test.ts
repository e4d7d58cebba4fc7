import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildReloadAnswer } from '../../src/admin/index.ts';
import { finding } from '../../src/errors.ts';
import type { Report, Verdict } from '../../src/rotation/index.ts';

function answerTo(verdicts: readonly Partial<Verdict>[], failures: Report['failures'] = []) {
  const full = verdicts.map((verdict) => ({ warnings: [], ...verdict })) as Verdict[];
  return buildReloadAnswer({ generation: 4, verdicts: full, bundles: [], failures });
}

test('a verdict becomes applied, unchanged or rejected', () => {
  const outcomes: Record<Verdict['result'], string> = {
    applied: 'applied',
    dropped: 'applied',
    unchanged: 'unchanged',
    rejected: 'rejected',
    pending: 'rejected',
    canary: 'applied',
    held: 'rejected',
  };
  for (const [result, expected] of Object.entries(outcomes)) {
    const { generation, results } = answerTo([{ id: 'a', result: result as Verdict['result'], error: null }]);
    assert.equal(generation, 4);
    assert.deepEqual(results, [{ certificate: 'a', result: expected }]);
  }
});

test('a reason comes with its code, message and remedy; a source that failed with its path', () => {
  const error = finding('KEY_MISMATCH', 'error', { identity: 'a' });
  const failure = finding('SOURCE_MISSING', 'error', { file: '/certs', message: '/certs is not there' });
  const { results } = answerTo([{ id: 'a', result: 'rejected', error }], [failure]);
  assert.deepEqual(results, [
    { certificate: 'a', result: 'rejected', code: error.code, message: error.message, remedy: error.remedy },
    { certificate: '/certs', result: 'rejected', code: failure.code, message: failure.message, remedy: failure.remedy },
  ]);
});
