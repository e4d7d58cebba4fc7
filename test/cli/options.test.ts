import assert from 'node:assert/strict';
import { test } from 'node:test';
import { adminUrl, readServeFlags } from '../../src/cli/options.ts';
import { SwivelError } from '../../src/errors.ts';

test('where the admin endpoints of a running Swivel are', () => {
  const urls: [string | undefined, Record<string, string>, string][] = [
    [undefined, {}, 'http://127.0.0.1:9901'],
    ['', {}, 'http://127.0.0.1:9901'],
    ['9902', {}, 'http://127.0.0.1:9902'],
    ['10.0.0.1:9902', {}, 'http://10.0.0.1:9902'],
    ['[::]:9902', {}, 'http://localhost:9902'],
    ['0.0.0.0:9902', {}, 'http://127.0.0.1:9902'],
    ['[::1]:9902', {}, 'http://[::1]:9902'],
    ['http://swivel:9902/', {}, 'http://swivel:9902'],
    ['https://swivel', {}, 'https://swivel'],
    [undefined, { SWIVEL_ADMIN: '[::]:1' }, 'http://localhost:1'],
    [undefined, { SWIVEL_DEFAULT_ADMIN: '0.0.0.0:2' }, 'http://127.0.0.1:2'],
    [undefined, { SWIVEL_ADMIN: '1', SWIVEL_DEFAULT_ADMIN: '2' }, 'http://127.0.0.1:1'],
    [undefined, { SWIVEL_ADMIN: '', SWIVEL_DEFAULT_ADMIN: '' }, 'http://127.0.0.1:9901'],
    ['3', { SWIVEL_ADMIN: '1', SWIVEL_DEFAULT_ADMIN: '2' }, 'http://127.0.0.1:3'],
    ['3', { SWIVEL_ADMIN: 'off' }, 'http://127.0.0.1:3'],
  ];
  for (const [flag, environment, url] of urls) assert.equal(adminUrl(flag, environment), url, String(flag));
  const off = (error: unknown) => error instanceof SwivelError && /are off/.test(error.message) && error.remedy !== '';
  assert.throws(() => adminUrl('off', {}), off);
  assert.throws(() => adminUrl(undefined, { SWIVEL_ADMIN: 'off' }), off);
});

test('flags win over the environment, of which nothing else is read', () => {
  const environment = {
    SWIVEL_CONFIG: '/env.yaml',
    SWIVEL_LISTEN: '1, 127.0.0.1:2',
    SWIVEL_CERTS: '/a,/b',
    SWIVEL_UPSTREAM: 'http://a,http://b',
    SWIVEL_ADMIN: 'off',
    SWIVEL_WORKERS: '1',
    SWIVEL_DRAIN_TIMEOUT: '9s',
    SWIVEL_LOG_LEVEL: 'warn',
    SWIVEL_LOG_FORMAT: '',
    SWIVEL_DEFAULT_CERTS: '/image',
    SWIVEL_DEFAULT_ADMIN: '[::]:9901',
    SWIVEL_PORT: 'tcp://10.0.0.1:8443',
    SWIVEL_SERVICE_HOST: '10.0.0.1',
  };
  const { variables, ...overrides } = readServeFlags({}, environment).overrides;
  assert.deepEqual(overrides, {
    listen: ['1', '127.0.0.1:2'],
    certs: ['/a', '/b'],
    upstream: ['http://a', 'http://b'],
    admin: 'off',
    workers: '1',
    drainTimeout: '9s',
    logLevel: 'warn',
  });
  assert.equal(variables?.['--drain-timeout'], 'SWIVEL_DRAIN_TIMEOUT');
  const argv = { config: '/flag.yaml', certs: ['/flag'], listen: ['3'], 'drain-timeout': '1s', 'log-format': 'json' };
  const flagged = readServeFlags(argv, environment);
  assert.equal(flagged.config, '/flag.yaml');
  assert.deepEqual(flagged.defaults, { certs: ['/image'], admin: '[::]:9901' });
  const { certs, listen, drainTimeout, logFormat, admin } = flagged.overrides;
  assert.deepEqual([certs, listen, drainTimeout, logFormat, admin], [['/flag'], ['3'], '1s', 'json', 'off']);
  assert.equal(flagged.overrides.variables?.['--drain-timeout'], undefined);

  const nothing = readServeFlags({}, {});
  assert.deepEqual([nothing.config, nothing.defaults], [undefined, {}]);
  assert.deepEqual({ ...nothing.overrides, variables: {} }, { variables: {} });
});
