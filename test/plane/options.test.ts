import assert from 'node:assert/strict';
import { test } from 'node:test';
import { configSchema } from '../../src/config/index.ts';
import { listenerOptions } from '../../src/plane/options.ts';
import { openToAll } from '../../src/proxy/index.ts';

test('a listener is given what the configuration says of TLS', () => {
  const config = configSchema.parse({
    certificates: [{ path: '/certs' }],
    upstreams: { a: { targets: ['http://127.0.0.1:1'] } },
    tls: { minVersion: 'TLSv1.3', ciphers: 'HIGH', handshakeTimeout: '3s', sessionTimeout: '7m', sessionCache: 11 },
  });
  assert.deepEqual(listenerOptions(config, openToAll), {
    minVersion: 'TLSv1.3',
    ciphers: 'HIGH',
    handshakeTimeout: 3000,
    sessionTimeout: 420_000,
    sessionCache: 11,
    requestsClientCertificates: false,
  });
});
