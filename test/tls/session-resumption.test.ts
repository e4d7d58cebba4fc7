import assert from 'node:assert/strict';
import { constants, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { describe, type TestContext, test } from 'node:test';
import type { ConnectionOptions } from 'node:tls';
import type { ContextStore } from '../../src/tls/index.ts';
import { SessionCache } from '../../src/tls/session-cache.ts';
import { bounded, eventually, metricOf, startFrontDoor } from '../support/swivel.ts';
import { freshIdentity, serve, storeOf, targetOf } from './support/identities.ts';
import { handshake, holdingRelay, listening, shownTo, visit } from './support/listening.ts';

const a = await freshIdentity('a');
const renewed = await freshIdentity('a');
const b = await freshIdentity('b');

/** A client as old Java is one. */
const withoutTickets = { maxVersion: 'TLSv1.2', secureOptions: constants.SSL_OP_NO_TICKET } as const;

/** Opens a session. @returns asks whether it is resumed */
async function opened(t: TestContext, options: ConnectionOptions) {
  const { session, reused } = await visit(t, options);
  assert.equal(reused, false);
  assert.ok(session);
  return async (more: ConnectionOptions = {}) => (await visit(t, { ...options, session, ...more })).reused;
}

async function changeTicketKeys(store: ContextStore): Promise<void> {
  const { served } = store.current;
  const identities = [...served.values()].map(({ identity }) => identity);
  (await store.prepare(targetOf(identities, { ticketKeys: randomBytes(48) }), Date.now())).commit();
}

for (const servername of ['a.test', undefined]) {
  const name = servername ? { servername } : {};
  describe(`a TLS 1.2 client that knows no tickets, ${servername ? 'with' : 'without'} SNI`, () => {
    test('resumes its session where sessions are kept, and nowhere else', bounded, async (t) => {
      const store = await storeOf([a, b]);
      for (const sessionCache of [undefined, 0, 10]) {
        const { port } = await listening(t, store, sessionCache === undefined ? {} : { sessionCache });
        const resumed = await opened(t, { port, ...withoutTickets, ...name });
        assert.deepEqual([await resumed(), await resumed()], sessionCache ? [true, true] : [false, false]);
      }
    });

    test('resumes its session across rotations', bounded, async (t) => {
      const store = await storeOf([a]);
      const { port } = await listening(t, store, { sessionCache: 10 });
      const resumed = await opened(t, { port, ...withoutTickets, ...name });
      await serve(store, renewed);
      assert.equal(await resumed(), true);
      await serve(store, await freshIdentity('a'), b);
      assert.equal(await resumed(), true);
    });

    test('does not resume it once ticket keys changed, and resumes the next one', bounded, async (t) => {
      const store = await storeOf([a]);
      const { port } = await listening(t, store, { sessionCache: 10 });
      const resumed = await opened(t, { port, ...withoutTickets, ...name });
      const find = t.mock.method(SessionCache.prototype, 'find');
      await changeTicketKeys(store);
      assert.equal(await resumed(), false);
      // Nothing of it is left in memory.
      assert.deepEqual(
        find.mock.calls.map(({ result }) => result),
        [null],
      );
      assert.equal(await (await opened(t, { port, ...withoutTickets, ...name }))(), true);
    });

    test('does not resume one whose handshake was under way when ticket keys changed', bounded, async (t) => {
      const store = await storeOf([a]);
      const server = await listening(t, store, { sessionCache: 10 });
      const options = { ...withoutTickets, ...name };
      const relay = await holdingRelay(t, server.port);
      const accepted = server.nextAccepted();
      const securing = handshake(t, { port: relay.port, ...options });
      // The answer of the server has begun: this handshake goes on with the keys it began with.
      const raw = await accepted;
      await eventually(() => raw.bytesWritten > 0);
      await changeTicketKeys(store);
      relay.release();
      const secure = await securing;
      await once(secure, 'data');
      const session = secure.getSession();
      assert.ok(session);
      assert.equal((await visit(t, { port: server.port, session, ...options })).reused, false);
    });
  });
}

for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(`a ${maxVersion} client with a ticket resumes as ever, and takes no place of others`, bounded, async (t) => {
    const store = await storeOf([a]);
    const { port } = await listening(t, store, { sessionCache: 1 });
    const other = await opened(t, { port, ...withoutTickets });
    const resumed = await opened(t, { port, maxVersion });
    assert.equal(await resumed(), true);
    await serve(store, renewed);
    assert.equal(await resumed(), true);
    assert.equal(await other(), true);
    await changeTicketKeys(store);
    assert.equal(await resumed(), false);
  });

  test(`a ${maxVersion} ticket is good wherever its keys are, whatever the command line is`, bounded, async (t) => {
    const store = await storeOf([a]);
    const { port } = await listening(t, store);
    const resumed = await opened(t, { port, maxVersion });
    process.argv.push('--config=other.yaml');
    t.after(() => process.argv.pop());
    const other = await listening(t, store);
    assert.equal(await resumed({ port: other.port }), true);
  });
}

test('a session that is kept is not resumed by another listener', bounded, async (t) => {
  const store = await storeOf([a]);
  const [one, other] = [
    await listening(t, store, { sessionCache: 10 }),
    await listening(t, store, { sessionCache: 10, requestsClientCertificates: true }),
  ];
  const resumed = await opened(t, { port: one.port, ...withoutTickets });
  assert.equal(await resumed({ port: other.port }), false);
  assert.equal(await resumed(), true);
});

test('no more sessions are kept than may be', bounded, async (t) => {
  const { port } = await listening(t, await storeOf([a]), { sessionCache: 2 });
  const options = { port, ...withoutTickets };
  const [first, second, third] = [await opened(t, options), await opened(t, options), await opened(t, options)];
  assert.deepEqual([await second(), await third(), await first()], [true, true, false]);
});

test('a session that is kept is resumed for its time only', bounded, async (t) => {
  const { port } = await listening(t, await storeOf([a]), { sessionCache: 10, sessionTimeout: 60_000 });
  const resumed = await opened(t, { port, ...withoutTickets });
  assert.equal(await resumed(), true);
  const now = performance.now();
  t.mock.method(performance, 'now', () => now + 60_000);
  assert.equal(await resumed(), false);
});

test('a client certificate is known again in a session that is kept', bounded, async (t) => {
  const server = await listening(t, await storeOf([a]), { sessionCache: 10, requestsClientCertificates: true });
  const client = { cert: b.chainPem, key: b.keyPem.reveal() };
  const options = { port: server.port, ...withoutTickets, ...client };
  const { session } = await visit(t, options);
  await server.nextSecured();
  assert.ok(session);
  assert.equal((await handshake(t, { ...options, session })).isSessionReused(), true);
  const { secure } = await server.nextSecured();
  assert.equal(shownTo(secure), b.leaf.fingerprint256);
});

test('the metrics count what was resumed from memory', bounded, async (t) => {
  const { port, metrics } = await startFrontDoor(t, { tls: { sessionCache: 10 } });
  const options = { port, ...withoutTickets, rejectUnauthorized: false };
  const { session } = await visit(t, options);
  assert.ok(session);
  await handshake(t, { ...options, session });
  const count = (resumed: string) => metricOf(metrics.handshakes, { result: 'success', resumed });
  await eventually(async () => (await count('true')) === 1);
  assert.equal(await count('false'), 1);
});

test('a lifetime below a second is one second, not the two hours of OpenSSL', bounded, async (t) => {
  const { port } = await listening(t, await storeOf([a]), { sessionTimeout: 100 });
  const { session } = await visit(t, { port, maxVersion: 'TLSv1.2' });
  // `[9] INTEGER 1`: the ticket's lifetime hint in seconds, as OpenSSL serialises it.
  assert.ok(session?.includes(Buffer.from('a903020101', 'hex')));
});
