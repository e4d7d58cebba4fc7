import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { test } from 'node:test';
import { mayChange } from '../../src/admin/guard.ts';

const token = 's3cret-token';

interface Asked {
  readonly from?: string | undefined;
  readonly host?: string | undefined;
  readonly origin?: string;
  readonly authorization?: string;
}

/** A request as the guard sees it: from this machine to a local name unless told otherwise. */
function asked({ from, ...headers }: Asked = {}): IncomingMessage {
  const remoteAddress = from ?? '127.0.0.1';
  return { headers: { host: 'localhost:9901', ...headers }, socket: { remoteAddress } } as unknown as IncomingMessage;
}

test('this machine may, another one may not', () => {
  for (const from of ['127.0.0.1', '127.8.9.10', '::1', '::ffff:127.0.0.1']) {
    assert.equal(mayChange(asked({ from }), null), true, from);
    assert.equal(mayChange(asked({ from }), token), true, `${from}, with a token that it does not need`);
  }
  for (const from of ['10.0.0.1', '::2', '::ffff:10.0.0.1', 'fe80::1', '1.127.0.0', '0.0.0.0', '::', '']) {
    assert.equal(mayChange(asked({ from }), null), false, from);
    assert.equal(mayChange(asked({ from }), token), false, from);
  }
});

test('another machine may with the token, and with nothing else', () => {
  const from = '10.0.0.1';
  for (const authorization of [`Bearer ${token}`, `bearer ${token}`, `Bearer  ${token}`]) {
    assert.equal(mayChange(asked({ from, authorization }), token), true, authorization);
    assert.equal(mayChange(asked({ from, authorization }), null), false, 'no token is configured');
  }
  const wrong = ['', 'Bearer', 'Bearer ', 'Bearer null', token, `Basic ${token}`, `Bearer ${token}x`, 'Bearer s3cret'];
  for (const authorization of [...wrong, `Bearer ${token} x`, `Bearer ${token.toUpperCase()}`]) {
    assert.equal(mayChange(asked({ from, authorization }), token), false, authorization);
    assert.equal(mayChange(asked({ from, authorization }), null), false, authorization);
  }
});

test('a local name or an address in Host may, any other name is one that a web page chose', () => {
  const local = ['localhost', 'localhost:9901', '127.0.0.1:9901', '127.0.0.1', '[::1]:9901', '[::1]', '10.0.0.5:9901'];
  for (const host of local) assert.equal(mayChange(asked({ host }), null), true, host);
  const foreign = [
    'evil.test',
    'evil.test:9901',
    'localhost.evil.test',
    '127.0.0.1.evil.test',
    '127.0.0.1.nip.io:9901',
  ];
  for (const host of [...foreign, '', ':9901', 'localhost:x', 'evil.test/localhost', undefined]) {
    assert.equal(mayChange(asked({ host }), null), false, String(host));
  }
});

test('with the token, a request may come under the name of a service', () => {
  const bearing = { from: '10.0.0.7', host: 'swivel.edge.svc:9901', authorization: `Bearer ${token}` };
  assert.equal(mayChange(asked(bearing), token), true);
  assert.equal(mayChange(asked({ ...bearing, origin: 'https://evil.test' }), token), false);
});

test('nothing that a page sent may, not even a local one', () => {
  for (const origin of ['https://evil.test', 'http://localhost:9901', 'http://127.0.0.1:9901', 'null', '']) {
    assert.equal(mayChange(asked({ origin }), null), false, origin);
    assert.equal(mayChange(asked({ origin, authorization: `Bearer ${token}` }), token), false, origin);
  }
});
