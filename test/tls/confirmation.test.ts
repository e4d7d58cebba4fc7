import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { test } from 'node:test';
import { showsOutside, TlsListener } from '../../src/tls/index.ts';
import { bounded } from '../support/swivel.ts';
import { authority, freshIdentity, identityOf, serve, storeOf } from './support/identities.ts';
import { listening } from './support/listening.ts';

const a = await freshIdentity('a', ['a.test', '*.w.test']);
const renewed = await freshIdentity('a', ['a.test']);
const b = await freshIdentity('b');
const host = '127.0.0.1';

async function tcpServer(
  t: { after(clean: () => void): void },
  onConnection: Parameters<Server['on']>[1],
): Promise<number> {
  const server = createServer(onConnection as () => void);
  await once(server.listen(0, host), 'listening');
  t.after(() => server.close());
  return (server.address() as { port: number }).port;
}

test('a listener shows what it serves, by its name and, for the default one, without', bounded, async (t) => {
  const store = await storeOf([a, b]);
  const { port } = await listening(t, store);
  const address = { host, port };
  assert.equal(await showsOutside(address, a, 'a.test'), true);
  assert.equal(await showsOutside(address, a, null), true);
  assert.equal(await showsOutside(address, b, 'b.test'), true);
  assert.equal(await showsOutside(address, b, null), false);
  assert.equal(await showsOutside(address, renewed, 'a.test'), false);
  await serve(store, renewed, b);
  assert.equal(await showsOutside(address, renewed, 'a.test'), true);
  assert.equal(await showsOutside(address, a, 'a.test'), false);
});

test('the chain counts, not only the leaf', bounded, async (t) => {
  const intermediate = await (await authority()).intermediate();
  const whole = identityOf('a', await intermediate.issue({ names: ['a.test'] }));
  const { port } = await listening(t, await storeOf([whole]));
  assert.equal(await showsOutside({ host, port }, whole, 'a.test'), true);
  const alone = {
    ...whole,
    fingerprint: whole.leaf.fingerprint256,
    chainPem: whole.chainPem.split(/(?=-----BEGIN)/)[0] ?? '',
  };
  const { port: other } = await listening(t, await storeOf([alone]));
  assert.equal(await showsOutside({ host, port: other }, whole, 'a.test'), false);
});

test('a listener that cannot be asked says nothing either way', bounded, async (t) => {
  const { port: strict } = await listening(t, await storeOf([a], { unknownName: 'reject' }));
  const hangingUp = await tcpServer(t, ((socket: { destroy(): void }) => socket.destroy()) as () => void);
  const closed = createServer();
  await once(closed.listen(0, host), 'listening');
  const { port: nobody } = closed.address() as { port: number };
  closed.close();
  await once(closed, 'close');
  assert.equal(await showsOutside({ host, port: nobody }, a, 'a.test'), null);
  assert.equal(await showsOutside({ host, port: strict }, b, 'b.test'), null);
  assert.equal(await showsOutside({ host, port: hangingUp }, a, 'a.test'), null);
});

test('a listener that keeps silent is given up', bounded, async (t) => {
  const port = await tcpServer(t, ((socket: { on(event: string, listener: () => void): void }) => {
    socket.on('error', () => {});
  }) as () => void);
  assert.equal(await showsOutside({ host, port }, a, 'a.test'), null);
});

for (const any of ['::', '0.0.0.0']) {
  test(`a listener on ${any} is reached on this machine`, bounded, async (t) => {
    const store = await storeOf([a]);
    const tls = { minVersion: 'TLSv1.2', handshakeTimeout: 10_000, sessionTimeout: 300_000 } as const;
    const sockets = new Set<{ destroy(): void }>();
    const listener = new TlsListener({ host: any, port: 0 }, store, tls, {
      accepted: (socket) => void sockets.add(socket.on('error', () => {})),
      identified: () => {},
      secured: () => {},
      failed: () => {},
    });
    await listener.open();
    t.after(async () => {
      await listener.close();
      for (const socket of sockets) socket.destroy();
    });
    assert.equal(await showsOutside(listener.address, a, 'a.test'), true);
  });
}

test('the name to ask by is one that the index gives to the certificate', bounded, async () => {
  const winner = { ...b, names: ['a.test'], leaf: { ...b.leaf, notBefore: a.leaf.notBefore + 1 } };
  const store = await storeOf([a, winner], { defaultCertificate: 'b' });
  assert.equal(store.nameFor(a), 'swivel-confirmation.w.test');
  assert.equal(store.nameFor(winner), 'a.test');
  const hidden = { ...a, names: ['a.test'] };
  assert.equal((await storeOf([hidden, winner], { defaultCertificate: 'b' })).nameFor(hidden), undefined);
  assert.equal((await storeOf([hidden, winner], { defaultCertificate: 'a' })).nameFor(hidden), null);
});
