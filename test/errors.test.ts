import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { catalogue, coded, type ErrorCode, finding, messageOf, SwivelError, systemCode } from '../src/errors.ts';

describe('the catalogue', () => {
  for (const [code, { summary, remedy, exit }] of Object.entries(catalogue)) {
    test(`${code} says what is wrong and what to do, as clauses that fit into one line`, () => {
      assert.match(code, /^[A-Z][A-Z0-9]*(_[A-Z0-9]+)*$/);
      for (const clause of [summary, remedy]) {
        assert.match(clause, /\S/);
        assert.doesNotMatch(clause, /[.;:,!\s]$/, 'ends in punctuation');
        assert.doesNotMatch(clause, /^\s|[\r\n]/);
      }
      assert.ok([1, 2, 3].includes(exit));
    });
  }
});

describe('SwivelError', () => {
  test('its line is `CODE: what is wrong, where; what to do`', () => {
    const error = new SwivelError('CONFIG_SYNTAX', 'a bracket is not closed', { place: { file: 'a.yaml', line: 7 } });
    assert.equal(error.line, 'CONFIG_SYNTAX: a bracket is not closed, a.yaml:7; correct the line that is named');
  });

  test('a place without a line number is the file alone', () => {
    const error = new SwivelError('CONFIG_UNREADABLE', 'gone', { place: { file: 'a.yaml' } });
    assert.equal(error.line, 'CONFIG_UNREADABLE: gone, a.yaml; check the path and its permissions');
  });

  test('without details, summary and remedy are those of the catalogue', () => {
    const { summary, remedy } = catalogue.USAGE;
    assert.equal(new SwivelError('USAGE').line, `USAGE: ${summary}; ${remedy}`);
  });

  test('a remedy of its own goes before that of the catalogue', () => {
    assert.equal(new SwivelError('USAGE', 'no', { remedy: 'do this' }).line, 'USAGE: no; do this');
  });

  test('the exit code is that of the code, and a cause is kept', () => {
    const cause = new Error('below');
    const error = new SwivelError('NOTHING_SERVABLE', undefined, { cause });
    assert.equal(error.exitCode, 3);
    assert.equal(error.cause, cause);
    assert.equal('cause' in new SwivelError('USAGE'), false);
  });
});

describe('findings', () => {
  test('carry the remedy of the catalogue, and no empty fields', () => {
    const { summary, remedy } = catalogue.KEY_MISSING;
    assert.deepEqual(finding('KEY_MISSING', 'error'), {
      code: 'KEY_MISSING' satisfies ErrorCode,
      severity: 'error',
      message: summary,
      remedy,
    });
    const full = finding('KEY_MISSING', 'warning', { message: 'm', file: '/f', identity: 'tls' });
    assert.deepEqual(coded(full), { code: 'KEY_MISSING', message: 'm', remedy, file: '/f' });
    assert.equal(full.identity, 'tls');
  });
});

test('system codes and messages come out of anything that is thrown', () => {
  assert.equal(systemCode(Object.assign(new Error('x'), { code: 'ENOENT' })), 'ENOENT');
  for (const thrown of [null, undefined, 'text', 5, {}, { code: 5 }]) assert.equal(systemCode(thrown), undefined);
  assert.equal(messageOf(new Error('x')), 'x');
  assert.equal(messageOf('text'), 'text');
});
