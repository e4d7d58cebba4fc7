import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Config, configSchema } from '../../src/config/index.ts';

const base = { certificates: [{ path: '/c' }], upstreams: { legacy: { targets: ['http://127.0.0.1:1'] } } };

function parse(process: unknown): Config['process'] | string[] {
  const { success, data, error } = configSchema.safeParse({ ...base, process });
  return success ? data.process : error.issues.map(({ path, message }) => `${path.join('.')} ${message}`);
}

test('the user and group of workers are names or numbers', () => {
  const given = { inspect: false, coreDumps: false };
  assert.deepEqual(parse({ user: 'swivel', group: 1000 }), { user: 'swivel', group: 1000, ...given });
  assert.deepEqual(parse({ user: '1000', inspect: true }), { ...given, user: '1000', inspect: true });
  for (const user of ['', 'a b', 'a:b', -1, 1.5, 2 ** 32 - 1, true]) {
    assert.deepEqual(parse({ user }), ['process.user must be a name without spaces, or a number'], String(user));
  }
});

test('a group without a user is refused, because it would have no effect', () => {
  assert.deepEqual(parse({ group: 'web' }), ['process.group has no effect without process.user']);
});
