import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { type Connection, ConnectionRegistry, type DrainOptions, type Protocol } from '../../src/connections/index.ts';
import { createLogger, createMetrics } from '../../src/observe/index.ts';
import { bounded, eventually, metricOf } from '../support/swivel.ts';

const hour = 3_600_000;
/** Nobody is closed or cut within a test; everybody is asked at once. */
const patient: DrainOptions = { timeout: hour, spread: 0, upgraded: hour };
/** Idle ones are closed after 150 ms, the rest is cut after 200 ms. */
const brief: DrainOptions = { timeout: 200, spread: 0, upgraded: hour };

interface Member {
  readonly connection: Connection;
  readonly client: Socket;
  /** How often the protocol was asked to end, and told to close. */
  readonly told: { asked: number; closed: number };
}

class Scene {
  readonly registry: ConnectionRegistry;
  readonly metrics = createMetrics({ version: 'test' });
  readonly #port: number;
  readonly #accepted: ((socket: Socket) => void)[] = [];

  constructor(t: TestContext, options: DrainOptions, port: number) {
    this.registry = new ConnectionRegistry(options, this.metrics, createLogger({ level: 'silent', format: 'json' }));
    this.#port = port;
    t.after(() => this.registry.destroyAll());
  }

  accepted(socket: Socket): void {
    this.#accepted.shift()?.(socket);
  }

  /** A connection; past its handshake when a fingerprint is given. @param polite the client closes when it is told to */
  async join(fingerprint?: string, { protocol = 'http/1.1' as Protocol, polite = true } = {}): Promise<Member> {
    const server = new Promise<Socket>((resolve) => this.#accepted.push(resolve));
    const client = connect({ port: this.#port, host: '127.0.0.1', allowHalfOpen: !polite });
    client.on('error', () => {});
    client.resume();
    const socket = await server;
    socket.on('error', () => {});
    const connection = this.registry.add(socket);
    const told = { asked: 0, closed: 0 };
    if (fingerprint !== undefined) this.#serve(connection, fingerprint, protocol, told);
    return { connection, client, told };
  }

  #serve(connection: Connection, fingerprint: string, protocol: Protocol, told: Member['told']): void {
    this.registry.tag(connection, { id: `id of ${fingerprint}`, fingerprint, fingerprint256: fingerprint, names: [] });
    connection.protocol = protocol;
    connection.handler = {
      ask: () => {
        told.asked += 1;
      },
      close: () => {
        told.closed += 1;
        connection.socket.end();
      },
    };
  }

  drained(how: 'graceful' | 'deadline'): Promise<number> {
    return metricOf(this.metrics.connectionsDrained, { how });
  }
}

async function start(t: TestContext, options: DrainOptions): Promise<Scene> {
  const server = createServer({ allowHalfOpen: true });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const scene = new Scene(t, options, (server.address() as { port: number }).port);
  server.on('connection', (socket: Socket) => {
    // As a TLS socket does: what the peer ends, ends.
    socket.on('end', () => socket.end()).resume();
    scene.accepted(socket);
  });
  t.after(() => server.close());
  return scene;
}

/** Resolves when the registry has heard of the end of a connection. */
async function gone({ connection: { socket } }: Member): Promise<void> {
  if (!socket.closed) await once(socket, 'close');
}

test('every socket is known from its first moment to its last', bounded, async (t) => {
  const scene = await start(t, patient);
  const { registry } = scene;
  const shaking = await scene.join();
  const [a, b] = [await scene.join('A'), await scene.join('B')];
  assert.equal(registry.size, 3);
  assert.equal(registry.get(a.connection.socket), a.connection);
  assert.deepEqual(registry.summary(), {
    open: 3,
    draining: 0,
    byCertificate: { 'id of A': { current: 1, draining: 0 }, 'id of B': { current: 1, draining: 0 } },
  });
  registry.retire(new Set(['A']));
  assert.deepEqual(registry.summary(), {
    open: 3,
    draining: 1,
    byCertificate: { 'id of A': { current: 0, draining: 1 }, 'id of B': { current: 1, draining: 0 } },
  });
  const states = async () => [
    await metricOf(scene.metrics.connectionsOpen, { state: 'current' }),
    await metricOf(scene.metrics.connectionsOpen, { state: 'draining' }),
  ];
  assert.deepEqual(await states(), [2, 1]);
  for (const { connection } of [shaking, a, b]) {
    const closed = once(connection.socket, 'close');
    connection.destroy();
    await closed;
    assert.equal(registry.get(connection.socket), undefined);
  }
  assert.deepEqual(registry.summary(), { open: 0, draining: 0, byCertificate: {} });
  assert.deepEqual(await states(), [0, 0]);
  assert.equal(await metricOf(scene.metrics.connections), 3);
  assert.deepEqual([await scene.drained('graceful'), await scene.drained('deadline')], [1, 0]);
});

test('what was retired is asked to leave, once; nobody else is', bounded, async (t) => {
  const scene = await start(t, patient);
  const { registry } = scene;
  const [first, second, other] = [await scene.join('A'), await scene.join('A'), await scene.join('B')];
  const shaking = await scene.join();
  assert.deepEqual(registry.retire(new Set()), new Map());
  assert.deepEqual(registry.retire(new Set(['none of them'])), new Map());
  assert.deepEqual(registry.retire(new Set(['A', 'none of them'])), new Map([['A', 2]]));
  for (const { connection, told } of [first, second]) {
    assert.ok(connection.draining && connection.last);
    assert.deepEqual(told, { asked: 1, closed: 0 });
  }
  const { plan } = first.connection;
  assert.deepEqual(registry.retire(new Set(['A', 'B'])), new Map([['B', 1]]), 'a drain is not begun anew');
  assert.equal(first.connection.plan, plan);
  assert.equal(first.told.asked, 1);
  assert.equal(other.told.asked, 1);
  assert.equal(shaking.connection.draining, false);
});

test('a connection is not asked before its handshake is done, and then at once', bounded, async (t) => {
  const scene = await start(t, patient);
  const { connection, told } = await scene.join('A', { protocol: 'handshake' });
  scene.registry.retire(new Set(['A']));
  assert.deepEqual([connection.draining, told.asked], [true, 0]);
  connection.protocol = 'http/1.1';
  scene.registry.retireOne(connection);
  assert.equal(told.asked, 1);
  scene.registry.retireOne(connection);
  assert.equal(told.asked, 1);
  const late = await scene.join('A');
  scene.registry.retireOne(late.connection);
  assert.deepEqual([late.connection.draining, late.told.asked], [true, 1]);
});

test(
  'an idle one is closed politely; one with something in flight is not, and is cut at the deadline',
  bounded,
  async (t) => {
    const scene = await start(t, brief);
    const [idle, busy] = [await scene.join('A'), await scene.join('A')];
    busy.connection.begin();
    scene.registry.retire(new Set(['A']));
    await gone(idle);
    assert.deepEqual([idle.told.closed, idle.connection.cut], [1, false]);
    await gone(busy);
    assert.deepEqual([busy.told.closed, busy.connection.cut], [0, true]);
    assert.deepEqual([await scene.drained('graceful'), await scene.drained('deadline')], [1, 1]);
  },
);

test('one that becomes idle only after the deadline for idle ones came is closed, not cut', bounded, async (t) => {
  const scene = await start(t, { ...brief, timeout: 2000 });
  const [idle, busy] = [await scene.join('A'), await scene.join('A')];
  busy.connection.begin();
  scene.registry.retire(new Set(['A']));
  await gone(idle);
  assert.equal(busy.told.closed, 0);
  busy.connection.end();
  await gone(busy);
  assert.deepEqual([busy.told.closed, busy.connection.cut], [1, false]);
});

test('a client that does not leave when it is told to is cut', bounded, async (t) => {
  const scene = await start(t, brief);
  const rude = await scene.join('A', { polite: false });
  scene.registry.retire(new Set(['A']));
  await once(rude.client, 'end');
  assert.equal(rude.told.closed, 1);
  await once(rude.connection.socket, 'close');
  assert.equal(rude.connection.cut, true);
  assert.equal(await scene.drained('deadline'), 1);
});

test('an upgraded connection outlives the others, and is cut at its own deadline', bounded, async (t) => {
  const scene = await start(t, { ...brief, upgraded: 600 });
  const [upgraded, busy] = [await scene.join('A', { protocol: 'upgraded' }), await scene.join('A')];
  busy.connection.begin();
  scene.registry.retire(new Set(['A']));
  await gone(busy);
  assert.equal(upgraded.connection.socket.destroyed, false);
  await gone(upgraded);
  assert.deepEqual(upgraded.told, { asked: 0, closed: 0 });
  assert.equal(upgraded.connection.cut, true);
});

test('a timer runs while something drains, one for all, and no longer', bounded, async (t) => {
  const scene = await start(t, brief);
  const begun = t.mock.method(globalThis, 'setInterval');
  const ended = t.mock.method(globalThis, 'clearInterval');
  const members = [await scene.join('A'), await scene.join('A'), await scene.join('B'), await scene.join('C')];
  scene.registry.retire(new Set(['none of them']));
  assert.equal(begun.mock.callCount(), 0);
  scene.registry.retire(new Set(['A']));
  scene.registry.retire(new Set(['B']));
  assert.deepEqual([begun.mock.callCount(), ended.mock.callCount()], [1, 0]);
  await Promise.all(members.slice(0, 3).map(gone));
  assert.equal(ended.mock.callCount(), 1);
  assert.equal(ended.mock.calls[0]?.arguments[0], begun.mock.calls[0]?.result);
});

test('stopping asks everybody, those that come late too, and ends when the last one is gone', bounded, async (t) => {
  const scene = await start(t, { ...patient, timeout: 4000 });
  const { registry } = scene;
  const [idle, busy, retired] = [await scene.join('A'), await scene.join('B'), await scene.join('C')];
  busy.connection.begin();
  retired.connection.begin();
  registry.retire(new Set(['C']));
  const stopped = registry.stop();
  const late = await scene.join('A');
  assert.ok(late.connection.draining);
  assert.deepEqual([idle.told.asked, busy.told.asked, retired.told.asked], [1, 1, 1]);
  await Promise.all([gone(idle), gone(late)]);
  assert.equal(registry.size, 2);
  for (const { connection } of [busy, retired]) connection.end();
  assert.deepEqual(await stopped, { cut: 0 });
  assert.equal(registry.size, 0);
});

test(
  'stopping cuts upgraded connections with the others, and counts what it cut, not what was cut before',
  bounded,
  async (t) => {
    const scene = await start(t, brief);
    const { registry } = scene;
    const before = await scene.join('A');
    before.connection.begin();
    registry.retire(new Set(['A']));
    await gone(before);
    assert.equal(before.connection.cut, true);
    const [upgraded, busy, shaking] = [
      await scene.join('B', { protocol: 'upgraded' }),
      await scene.join('B'),
      await scene.join(),
    ];
    busy.connection.begin();
    const stopped = registry.stop();
    await Promise.all([upgraded, busy, shaking].map(gone));
    assert.deepEqual(await stopped, { cut: 3 });
  },
);

test('an earlier, longer drain does not hold up a stop', bounded, async (t) => {
  const scene = await start(t, { timeout: 300, spread: 0, upgraded: hour });
  const upgraded = await scene.join('A', { protocol: 'upgraded' });
  scene.registry.retire(new Set(['A']));
  assert.deepEqual(await scene.registry.stop(), { cut: 1 });
  assert.equal(upgraded.connection.cut, true);
});

test('giving up cuts everything, which ends a stop at once', bounded, async (t) => {
  const scene = await start(t, patient);
  for (const fingerprint of ['A', 'B']) (await scene.join(fingerprint)).connection.begin();
  await scene.join();
  const stopped = scene.registry.stop();
  scene.registry.destroyAll();
  assert.deepEqual(await stopped, { cut: 3 });
});

test('with nobody there a stop has nothing to wait for', bounded, async (t) => {
  const { registry } = await start(t, patient);
  assert.deepEqual(await registry.stop(), { cut: 0 });
});

/** A connection whose client was let in because of a certificate. */
async function known(scene: Scene, options: Parameters<Scene['join']>[1] = {}): Promise<Member> {
  const member = await scene.join('A', options);
  member.connection.reliesOn('staff');
  return member;
}

test('connections whose client is no longer trusted are drained; all others are left alone', bounded, async (t) => {
  const scene = await start(t, patient);
  const [lost, kept, anonymous] = [await known(scene), await known(scene), await scene.join('A')];
  const asked: Connection[] = [];
  const isTrusted = (connection: Connection) => {
    asked.push(connection);
    return connection === kept.connection;
  };
  assert.equal(await scene.registry.retireClients(isTrusted, 'drain'), 1);
  assert.deepEqual(asked, [lost.connection, kept.connection], 'who relied on no certificate is not asked about');
  assert.deepEqual(
    [lost, kept, anonymous].map(({ connection }) => connection.draining),
    [true, false, false],
  );
  assert.deepEqual(lost.told, { asked: 1, closed: 0 });
});

test('or cut, whatever is in flight on them, and not an hour later', bounded, async (t) => {
  const scene = await start(t, patient);
  const members = [await known(scene), await known(scene), await known(scene, { protocol: 'upgraded' })];
  const [busy, rude] = [await known(scene), await known(scene, { polite: false })];
  busy.connection.begin();
  const kept = await scene.join('A');
  assert.equal(await scene.registry.retireClients(() => false, 'cut'), 5);
  await Promise.all([...members, busy, rude].map(gone));
  assert.equal(kept.connection.draining, false);
});

test(
  'an upgraded connection whose client is no longer trusted gets no more time than any other',
  bounded,
  async (t) => {
    const scene = await start(t, brief);
    const upgraded = await known(scene, { protocol: 'upgraded' });
    await scene.registry.retireClients(() => false, 'drain');
    await gone(upgraded);
    assert.equal(upgraded.connection.cut, true);
  },
);

test('a drain that has begun is drawn in by another, and never put off', bounded, async (t) => {
  const scene = await start(t, patient);
  const { registry } = scene;
  const member = await known(scene, { protocol: 'upgraded' });
  const cutAt = () => member.connection.plan?.cutAt ?? Number.NaN;
  await registry.retireClients(() => false, 'drain');
  const first = cutAt();
  await scene.join();
  await registry.retireClients(() => false, 'drain');
  assert.equal(cutAt(), first, 'bundles may change as often as they like');
  assert.equal(registry.cut(new Set(['A'])), 1);
  const second = cutAt();
  assert.ok(second < first);
  await registry.retireClients(() => false, 'drain');
  assert.equal(cutAt(), second);
  await gone(member);
});

test('what was retired with its certificate ends no later because its client is retired too', bounded, async (t) => {
  const scene = await start(t, { timeout: hour, spread: 0, upgraded: 2 * hour });
  const member = await known(scene, { protocol: 'upgraded' });
  scene.registry.retire(new Set(['A']));
  const { cutUpgradedAt = 0 } = member.connection.plan ?? {};
  await scene.registry.retireClients(() => false, 'drain');
  assert.ok((member.connection.plan?.cutUpgradedAt ?? cutUpgradedAt) <= cutUpgradedAt - hour + 1000);
});

test(
  'thousands of connections are looked at in turns, and those that left meanwhile are passed over',
  bounded,
  async (t) => {
    const scene = await start(t, patient);
    const members = [await known(scene), await known(scene), await known(scene)];
    const asked: Connection[] = [];
    const judged = scene.registry.retireClients((connection) => {
      asked.push(connection);
      for (const end = performance.now() + 10; performance.now() < end; );
      members[1]?.connection.destroy();
      return false;
    }, 'drain');
    await eventually(() => asked.length > 0);
    assert.equal(asked.length, 1, 'others get their turn');
    await Promise.all(members.slice(1, 2).map(gone));
    assert.equal(await judged, 2);
    assert.deepEqual(asked, [members[0]?.connection, members[2]?.connection]);
  },
);
