import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import type { SecureVersion } from 'node:tls';
import { bounded } from '../support/swivel.ts';
import { authority, freshIdentity, identityOf, serve, storeOf } from './support/identities.ts';
import { handshake, holdingRelay, listening, refusal, shownTo, tcp, visit } from './support/listening.ts';

const versions: readonly SecureVersion[] = ['TLSv1.2', 'TLSv1.3'];
const a = await freshIdentity('a');
const renewed = await freshIdentity('a');
const b = await freshIdentity('b');

for (const servername of ['a.test', undefined]) {
  const name = servername ? { servername } : {};
  const client = servername ? 'a client with SNI' : 'a client without SNI';

  test(`${client} sees the new certificate at once after a commit`, bounded, async (t) => {
    const store = await storeOf([a, b]);
    const { port } = await listening(t, store);
    assert.equal((await visit(t, { port, ...name })).shown, a.leaf.fingerprint256);
    await serve(store, renewed, b);
    assert.equal((await visit(t, { port, ...name })).shown, renewed.leaf.fingerprint256);
    await serve(store, a, b);
    assert.equal((await visit(t, { port, ...name })).shown, a.leaf.fingerprint256);
  });

  for (const maxVersion of versions) {
    test(`${client} resumes its ${maxVersion} session across commits`, bounded, async (t) => {
      const store = await storeOf([a]);
      const { port } = await listening(t, store);
      const { session, reused } = await visit(t, { port, maxVersion, ...name });
      assert.equal(reused, false);
      assert.ok(session);
      await serve(store, renewed);
      await serve(store, await freshIdentity('a'), b);
      assert.equal((await visit(t, { port, maxVersion, session, ...name })).reused, true);
    });
  }

  test(`${client} in the middle of its handshake counts under the certificate it was shown`, bounded, async (t) => {
    const store = await storeOf([a, b]);
    const server = await listening(t, store);
    const relay = await holdingRelay(t, server.port);
    const secure = await handshake(t, { port: relay.port, minVersion: 'TLSv1.3', ...name });
    assert.equal(shownTo(secure), a.leaf.fingerprint256);
    assert.deepEqual(await serve(store, renewed, b), new Set([a.fingerprint]));
    relay.release();
    const { served } = await server.nextSecured();
    assert.equal(served.identity.fingerprint, a.fingerprint);
    assert.equal(served.identity.leaf.fingerprint256, a.leaf.fingerprint256);
  });
}

test(
  'a client that connected before a commit and speaks after it counts under what it was shown',
  bounded,
  async (t) => {
    const other = await freshIdentity('0-first');
    for (const servername of ['a.test', undefined]) {
      const store = await storeOf([a]);
      const server = await listening(t, store);
      const socket = await tcp(t, server.port);
      await server.nextAccepted();
      // The default certificate becomes one of another id.
      await serve(store, other, renewed);
      const secure = await handshake(t, { socket, ...(servername ? { servername } : {}) });
      const { served } = await server.nextSecured();
      assert.equal(served.identity.leaf.fingerprint256, shownTo(secure));
      assert.equal(served.identity.fingerprint, (servername ? renewed : a).fingerprint);
      assert.equal(served.identity.id, 'a');
    }
  },
);

test('a connection stays as it is when its certificate is exchanged', bounded, async (t) => {
  const store = await storeOf([a]);
  const server = await listening(t, store);
  const client = await handshake(t, { port: server.port });
  await once(client, 'data');
  const { secure } = await server.nextSecured();
  await serve(store, renewed);
  secure.write('again');
  assert.equal(String((await once(client, 'data'))[0]), 'again');
});

test('the lowest version and the ciphers are the same after a commit', bounded, async (t) => {
  const strict = await storeOf([a]);
  const { port } = await listening(t, strict, { minVersion: 'TLSv1.3' });
  const chosen = await storeOf([a]);
  const { port: other } = await listening(t, chosen, { ciphers: 'ECDHE-ECDSA-CHACHA20-POLY1305' });
  const check = async () => {
    assert.match(await refusal({ port, maxVersion: 'TLSv1.2' }), /protocol.version/i);
    assert.equal((await visit(t, { port })).protocol, 'TLSv1.3');
    for (const servername of ['a.test', undefined]) {
      const client = { port: other, maxVersion: 'TLSv1.2', ...(servername ? { servername } : {}) } as const;
      assert.match((await visit(t, client)).cipher, /CHACHA20_POLY1305/);
      assert.match(await refusal({ ...client, ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' }), /handshake.failure/i);
    }
  };
  await check();
  await serve(strict, renewed);
  await serve(chosen, renewed);
  await check();
});

test('the type of the key may change with a commit', bounded, async (t) => {
  const issuer = await authority();
  const store = await storeOf([]);
  const { port } = await listening(t, store);
  for (const keyType of ['rsa-2048', 'ec-p256', 'ed25519', 'ec-p384', 'rsa-2048'] as const) {
    const identity = identityOf('a', await issuer.issue({ names: ['a.test'], keyType }));
    await serve(store, identity);
    for (const servername of ['a.test', undefined]) {
      for (const maxVersion of versions) {
        const { shown } = await visit(t, { port, maxVersion, ...(servername ? { servername } : {}) });
        assert.equal(shown, identity.leaf.fingerprint256, `${keyType} ${maxVersion} ${servername}`);
      }
    }
  }
});

test('with nothing to serve a handshake fails, and the first commit mends it', bounded, async (t) => {
  const store = await storeOf([]);
  const { port } = await listening(t, store);
  assert.match(await refusal({ port }), /handshake.failure/i);
  await serve(store, a);
  assert.equal((await visit(t, { port })).shown, a.leaf.fingerprint256);
});

test('a closed listener hears of no more commits', bounded, async (t) => {
  const store = await storeOf([a]);
  const server = await listening(t, store);
  await server.listener?.close();
  await serve(store, renewed);
  assert.equal(store.current.number, 2);
});
