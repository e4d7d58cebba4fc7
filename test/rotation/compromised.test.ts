import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Socket } from 'node:net';
import { test } from 'node:test';
import { type ConnectionOptions, connect } from 'node:tls';
import { TlsListener } from '../../src/tls/index.ts';
import { bounded, eventually } from '../support/swivel.ts';
import { authority } from '../tls/support/identities.ts';
import { visit } from '../tls/support/listening.ts';
import { scene } from './support/scene.ts';

const issuer = await authority();
const names = ['a.test'];
const [x1, y1, z1, b1] = await Promise.all([
  issuer.issue({ names }),
  issuer.issue({ names }),
  issuer.issue({ names }),
  issuer.issue({ names: ['b.test'] }),
]);
const x2 = await issuer.issue({ names, sameKeyAs: x1 });
const report = { compromised: ['a'] };

type Scene = Awaited<ReturnType<typeof scene>>;

/** A real listener for what is served. */
async function open(t: { after(clean: () => void): void }, { store, connections }: Scene): Promise<number> {
  const tls = { minVersion: 'TLSv1.2', handshakeTimeout: 10_000, sessionTimeout: 300_000 } as const;
  const listener = new TlsListener({ host: '127.0.0.1', port: 0 }, store, tls, {
    accepted: (socket) => void connections.add(socket.on('error', () => {})),
    identified: () => {},
    secured: (socket, secure, { identity }) => {
      const connection = connections.get(socket);
      assert.ok(connection);
      connection.secure = secure.on('error', () => {});
      connection.protocol = 'http/1.1';
      const { id, fingerprint, leaf } = identity;
      connections.tag(connection, { id, fingerprint, fingerprint256: leaf.fingerprint256, names: identity.names });
      secure.resume();
      secure.write('hello');
    },
    failed: (socket) => socket.destroy(),
  });
  await listener.open();
  t.after(() => listener.close());
  return listener.address.port;
}

async function client(t: { after(clean: () => void): void }, options: ConnectionOptions) {
  const secure = connect({ host: '127.0.0.1', ca: issuer.certificatePem, ...options });
  t.after(() => secure.destroy());
  secure.on('error', () => {});
  await once(secure, 'data');
  return secure.resume();
}

for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(`after a compromise no ${maxVersion} session from before is resumed, on no name`, bounded, async (t) => {
    const playing = await scene(t, { a: x1, b: b1 });
    const port = await open(t, playing);
    const sessions = new Map<string, Buffer | undefined>();
    for (const servername of ['a.test', 'b.test']) {
      const { session } = await visit(t, { port, maxVersion, servername });
      assert.ok(session);
      assert.equal((await visit(t, { port, maxVersion, servername, session })).reused, true);
      sessions.set(servername, session);
    }
    await playing.run('api', report);
    for (const [servername, session] of sessions) {
      const again = await visit(t, { port, maxVersion, servername, ...(session ? { session } : {}) });
      assert.equal(again.reused, false, servername);
    }
  });
}

test(
  'connections of the compromised certificate are cut, those that drain already too, others not',
  bounded,
  async (t) => {
    const playing = await scene(t, { a: y1, b: b1 });
    const port = await open(t, playing);
    const draining = await client(t, { port, servername: 'a.test' });
    await playing.put({ a: x1 });
    const current = await client(t, { port, servername: 'a.test' });
    const other = await client(t, { port, servername: 'b.test' });
    const closed = Promise.all([once(draining, 'close'), once(current, 'close')]);
    await playing.run('api', report);
    await closed;
    assert.equal(other.destroyed, false);
    await eventually(() => playing.connections.size === 1);
    assert.deepEqual(playing.connections.summary().byCertificate, { b: { current: 1, draining: 0 } });
    const [line] = playing.log.of('compromised');
    assert.deepEqual([line?.['certificates'], line?.['connections'], line?.['level']], [['a'], 2, 'warn']);
  },
);

test('while it is still on disk it is served, and said to be compromised', bounded, async (t) => {
  const { run, served, told, status, store, logged } = await scene(t, { a: x1 });
  await run('api', report);
  assert.deepEqual([served(), told(), store.current.number], [x1.fingerprint256, ['unchanged', 'serving', null], 2]);
  for (let i = 0; i < 3; i++) await run();
  assert.deepEqual(
    status()?.warnings.map(({ code }) => code),
    ['CERT_COMPROMISED'],
  );
  assert.deepEqual([store.current.number, logged('warning'), logged('compromised')], [2, 1, 0]);
});

test('a renewal with the same key is refused, one with another key is served', bounded, async (t) => {
  const { put, served, told, status } = await scene(t, { a: x1 });
  await put({ a: x1 }, 'api', report);
  await put({ a: x2 });
  assert.deepEqual([served(), told()], [x1.fingerprint256, ['rejected', 'rejected', 'CERT_COMPROMISED']]);
  assert.equal(status()?.lastError?.code, 'CERT_COMPROMISED');
  await put({ a: y1 });
  assert.deepEqual([served(), told()], [y1.fingerprint256, ['applied', 'serving', null]]);
  assert.deepEqual(status()?.warnings, []);
  await put({ a: x1 });
  assert.deepEqual([served(), told()[2]], [y1.fingerprint256, 'CERT_COMPROMISED']);
});

test(
  'a new certificate that is on disk already takes over with the report, and the old one is cut',
  bounded,
  async (t) => {
    const playing = await scene(t, { a: x1 }, { activation: { jitter: { min: 60_000, max: 60_000 } } });
    const connection = playing.connections.add(new Socket());
    const { identity } = playing.store.current.served.get('a') ?? {};
    assert.ok(identity);
    const { fingerprint, leaf } = identity;
    playing.connections.tag(connection, { id: 'a', fingerprint, fingerprint256: leaf.fingerprint256, names });
    await playing.put({ a: y1 }, 'api', report);
    assert.equal(playing.served(), y1.fingerprint256);
    assert.ok((connection.plan?.cutAt ?? Infinity) <= performance.now() + 500);
  },
);

test('nothing goes back to a compromised key, whichever certificate has it', bounded, async (t) => {
  const { put, run, reconciler, served } = await scene(t, { a: z1 });
  await put({ a: x1 });
  await put({ a: x2 });
  await run('api', report);
  await put({ a: y1 });
  await reconciler.rollback('a');
  assert.equal(served(), z1.fingerprint256);
});

test('what comes after a compromised one neither waits nor is tried on some first', bounded, async (t) => {
  const jitter = { min: 60_000, max: 60_000 };
  const canary = { share: 0.5, duration: 60_000 };
  for (const activation of [{ jitter }, { canary }]) {
    const { put, run, served } = await scene(t, { a: x1 }, { activation });
    await run('api', report);
    await put({ a: y1 });
    assert.equal(served(), y1.fingerprint256);
  }
});

test('what is on trial when the old one is reported takes over at once', bounded, async (t) => {
  const activation = { canary: { share: 0.5, duration: 60_000 } };
  const { put, run, served, store, told } = await scene(t, { a: x1 }, { activation });
  await put({ a: y1 });
  assert.equal(told()[0], 'canary');
  await run('api', report);
  assert.deepEqual([served(), store.current.canaries.size], [y1.fingerprint256, 0]);
});

test('when what was gone back to is reported, what is on disk takes over', bounded, async (t) => {
  const { put, run, reconciler, served } = await scene(t, { a: x1 });
  await put({ a: y1 });
  await reconciler.rollback('a');
  assert.equal(served(), x1.fingerprint256);
  await run('api', report);
  assert.equal(served(), y1.fingerprint256);
});

test('a first certificate with a key that was reported is served, and said to be compromised', bounded, async (t) => {
  const { put, run, served, status } = await scene(t, { a: x1 });
  await run('api', report);
  await put({ other: x2 });
  assert.equal(served('other'), x2.fingerprint256);
  assert.ok(status('other')?.warnings.some(({ code }) => code === 'CERT_COMPROMISED'));
});

test('a report about an id that nobody has changes nothing', bounded, async (t) => {
  const { run, store, log } = await scene(t, { a: x1 });
  await run('api', { compromised: ['nobody'] });
  assert.deepEqual([store.current.number, log.of('compromised').length], [1, 0]);
});
