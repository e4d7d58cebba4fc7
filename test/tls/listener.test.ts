import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { TlsListener } from '../../src/tls/index.ts';
import { bounded } from '../support/swivel.ts';
import { freshIdentity, storeOf } from './support/identities.ts';
import { handshake, listening, refusal, shownTo, tcp, visit } from './support/listening.ts';

const a = await freshIdentity('a', ['a.test', '*.a.test']);
const b = await freshIdentity('b');
const nameOf = new Map([
  [a.leaf.fingerprint256, 'a'],
  [b.leaf.fingerprint256, 'b'],
]);

test('a client is shown the certificate of the name it asks for, or the default', bounded, async (t) => {
  const { port } = await listening(t, await storeOf([a, b]));
  const expected: [string | undefined, string][] = [
    ['b.test', 'b'],
    ['B.TEST', 'b'],
    ['b.test.', 'b'],
    ['X.a.Test.', 'a'],
    ['unknown.test', 'a'],
    [undefined, 'a'],
  ];
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    for (const [servername, id] of expected) {
      const { shown, protocol } = await visit(t, { port, maxVersion, ...(servername ? { servername } : {}) });
      assert.equal(nameOf.get(shown ?? ''), id, `${servername} ${maxVersion}`);
      assert.equal(protocol, maxVersion);
    }
  }
});

test('the server is told what each client was shown', bounded, async (t) => {
  const server = await listening(t, await storeOf([a, b], { defaultCertificate: 'b' }));
  await handshake(t, { port: server.port, servername: 'a.test' });
  assert.equal((await server.nextSecured()).served.identity.id, 'a');
  await handshake(t, { port: server.port });
  assert.equal((await server.nextSecured()).served.identity.id, 'b');
  assert.deepEqual(
    server.identified.map(({ identity }) => identity.id),
    ['a'],
  );
});

test('a rejected name gets the alert unrecognized_name, and the handshake counts as failed', bounded, async (t) => {
  const server = await listening(t, await storeOf([a], { unknownName: 'reject' }));
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const error = await refusal({ port: server.port, servername: 'unknown.test', maxVersion });
    assert.match(error, /unrecognized.name/i, maxVersion);
    assert.equal((await server.nextFailed()).plainHttp, false);
  }
  assert.equal((await visit(t, { port: server.port })).shown, a.leaf.fingerprint256);
});

test('plain HTTP on the TLS port is told apart, with a socket that can still be answered', bounded, async (t) => {
  const server = await listening(t, await storeOf([a]));
  const client = await tcp(t, server.port);
  client.write('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n');
  const [answer] = await once(client, 'data');
  assert.equal(String(answer), 'use https');
  assert.equal((await server.nextFailed()).plainHttp, true);
});

test('what is neither TLS nor HTTP fails as neither', bounded, async (t) => {
  const server = await listening(t, await storeOf([a]));
  const client = await tcp(t, server.port);
  client.write(Buffer.alloc(64, 0xff));
  assert.equal((await server.nextFailed()).plainHttp, false);
});

test('a client that never begins its handshake is given up', bounded, async (t) => {
  const server = await listening(t, await storeOf([a]), { handshakeTimeout: 20 });
  await tcp(t, server.port);
  assert.equal((await server.nextFailed()).reason, 'ERR_TLS_HANDSHAKE_TIMEOUT');
});

test('h2 is preferred, http/1.1 is understood, nothing else is', bounded, async (t) => {
  const { port } = await listening(t, await storeOf([a]));
  const negotiate = async (...protocols: string[]) => (await visit(t, { port, ALPNProtocols: protocols })).alpn;
  assert.equal(await negotiate('http/1.1', 'h2'), 'h2');
  assert.equal(await negotiate('http/1.1'), 'http/1.1');
  assert.equal((await visit(t, { port })).alpn, false);
  assert.match(await refusal({ port, ALPNProtocols: ['spdy/3'] }), /no.application.protocol/i);
});

test('a port that is taken is refused by its code', bounded, async (t) => {
  const other = createServer();
  await once(other.listen(0, '127.0.0.1'), 'listening');
  t.after(() => other.close());
  const { port } = other.address() as { port: number };
  const options = { minVersion: 'TLSv1.2', handshakeTimeout: 1000, sessionTimeout: 1000 } as const;
  const ignore = () => {};
  const events = { accepted: ignore, identified: ignore, secured: ignore, failed: ignore };
  const listener = new TlsListener({ host: '127.0.0.1', port }, await storeOf([a]), options, events);
  await assert.rejects(listener.open(), { code: 'LISTEN_FAILED' });
});

test('who stands in the queue when it closes is served', bounded, async (t) => {
  const server = await listening(t, await storeOf([a]));
  const clients = Array.from({ length: 20 }, () => handshake(t, { port: server.port }));
  // From here on the system has taken their connections, and the event loop has not come round to one of them.
  await new Promise(process.nextTick);
  await server.listener?.close();
  assert.match(await refusal({ port: server.port }), /ECONNREFUSED/);
  for (const client of await Promise.all(clients)) assert.equal(shownTo(client), a.leaf.fingerprint256);
});

test('closing stops accepting, keeps what is connected, and may be repeated', bounded, async (t) => {
  const server = await listening(t, await storeOf([a]));
  const client = await handshake(t, { port: server.port });
  const { secure } = await server.nextSecured();
  await server.listener?.close();
  await server.listener?.close();
  assert.match(await refusal({ port: server.port }), /ECONNREFUSED/);
  secure.write(' again');
  await once(client, 'data');
});
