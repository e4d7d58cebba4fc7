import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { format, inspect } from 'node:util';
import { Secret } from '../../src/certificates/index.ts';

describe('a secret', () => {
  const secret = new Secret('hunter2');
  const holder = { nested: [secret], secret };
  for (const [how, shown] of [
    ['String', String(secret)],
    ['a template', `${secret}`],
    ['concatenation', `<${[secret].join()}>`],
    ['JSON', JSON.stringify(holder)],
    ['inspect', inspect(holder, { depth: null, showHidden: true, customInspect: true })],
    ['inspect without its own say', inspect(secret, { customInspect: false, showHidden: true })],
    ['format', format('%s %o %j', secret, secret, secret)],
    ['its properties', JSON.stringify([Object.entries(secret), Reflect.ownKeys(secret)])],
    ['the message of an error', new Error(`no: ${secret}`, { cause: secret }).stack ?? ''],
    ['a copy', inspect({ ...secret })],
  ] as const) {
    test(`does not show in ${how}`, () => assert.doesNotMatch(shown, /hunter2/));
  }

  test('is there for who asks', () => {
    assert.equal(secret.reveal(), 'hunter2');
    assert.equal(String(secret), '[secret]');
  });
});
