import assert from 'node:assert/strict';
import { once } from 'node:events';
import { before, describe, type TestContext, test } from 'node:test';
import { bundle, exchangeBundles, optional, present, presentHttp2, rules } from '../proxy/support/mutual.ts';
import { readResponse } from '../support/http2-client.ts';
import { type Authority, createAuthority, type Leaf } from '../support/pki.ts';
import { valuesOfField } from '../support/raw-client.ts';
import { bounded, eventually, type FrontDoorSetup, startFrontDoor } from '../support/swivel.ts';
import { response, startUpstream } from '../support/upstream.ts';

const switching = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n';
const hour = 3_600_000;

let staff: Authority;
let alice: Leaf;
let bob: Leaf;
before(async () => {
  staff = await createAuthority();
  const client = { names: ['client.test'], eku: ['clientAuth'] };
  [alice, bob] = [await staff.issue(client), await staff.issue(client)];
});

/** A front door on which alice, bob and somebody without certificate each have made a request. */
async function setUp(t: TestContext, drain: FrontDoorSetup['drain']) {
  const upstream = await startUpstream(t, (request) => {
    if (request.header('upgrade')) return switching;
    return request.path === '/held' ? null : response();
  });
  const door = await startFrontDoor(t, {
    upstream: upstream.url,
    bundles: [bundle('staff', staff.certificatePem)],
    clients: rules(optional('staff')),
    drain: { timeout: hour, spread: 0, upgraded: hour, ...drain },
  });
  const [ofAlice, ofBob, ofNobody] = [
    await present(t, door, { leaf: alice }),
    await present(t, door, { leaf: bob }),
    await present(t, door),
  ];
  for (const client of [ofAlice, ofBob, ofNobody]) assert.equal((await client.get()).status, 200);
  const revokeAlice = async (how?: 'drain' | 'cut') =>
    exchangeBundles(door, [bundle('staff', staff.certificatePem, await staff.crl([alice]))], how);
  return { upstream, door, ofAlice, ofBob, ofNobody, revokeAlice };
}

const draining = ({ door }: Awaited<ReturnType<typeof setUp>>) =>
  door.connections.accepted.map((connection) => connection.draining);

describe('when a client is no longer trusted', () => {
  test('what is in flight is answered, what comes next is refused, and its connection ends', bounded, async (t) => {
    const scene = await setUp(t, {});
    const { upstream, ofAlice, ofBob, ofNobody } = scene;
    ofAlice.send('GET /held HTTP/1.1\r\nHost: app.test\r\n\r\n');
    await eventually(() => upstream.requests.at(-1)?.path === '/held');
    const http2 = await presentHttp2(t, scene.door, { leaf: alice });
    const idle = await present(t, scene.door, { leaf: alice });
    assert.equal((await idle.get()).status, 200);
    const held = readResponse(http2.open({ ':path': '/held' }));
    await eventually(() => upstream.requests.filter(({ path }) => path === '/held').length === 2);
    await scene.revokeAlice();
    for (const request of upstream.requests.filter(({ path }) => path === '/held')) request.reply(response('late'));
    const late = await ofAlice.response();
    assert.deepEqual([late.status, late.body, valuesOfField(late, 'connection')], [200, 'late', ['close']]);
    await ofAlice.closed;
    const answer = await held;
    assert.deepEqual([answer.status, answer.body, answer.complete], [200, 'late', true]);
    await http2.closed;
    const refused = await idle.get();
    assert.deepEqual([refused.status, valuesOfField(refused, 'connection')], [403, ['close']]);
    assert.match(refused.body, /^CLIENT_CERTIFICATE_REJECTED/);
    await idle.closed;

    assert.deepEqual(draining(scene), [true, false, false, true, true]);
    for (const client of [ofBob, ofNobody]) {
      const { status, fields } = await client.get();
      assert.deepEqual([status, valuesOfField({ fields }, 'connection').includes('close')], [200, false]);
    }
  });

  test('a request on its HTTP/2 connection that crosses with the change is refused', bounded, async (t) => {
    // Nobody is asked to leave within this test.
    const scene = await setUp(t, { spread: hour });
    const http2 = await presentHttp2(t, scene.door, { leaf: alice });
    assert.equal((await http2.request()).status, 200);
    await scene.revokeAlice();
    assert.equal((await http2.request()).status, 403);
  });

  test('its connections are cut where that is wanted, in the middle of anything', bounded, async (t) => {
    const scene = await setUp(t, {});
    const { upstream, ofAlice, ofBob, ofNobody } = scene;
    ofAlice.send('GET /held HTTP/1.1\r\nHost: app.test\r\n\r\n');
    await eventually(() => upstream.requests.at(-1)?.path === '/held');
    const http2 = await presentHttp2(t, scene.door, { leaf: alice });
    const held = readResponse(http2.open({ ':path': '/held' }));
    const upgraded = await present(t, scene.door, { leaf: alice });
    assert.equal((await upgraded.get('app.test', ['Connection: Upgrade', 'Upgrade: websocket'])).status, 101);
    await eventually(() => upstream.requests.filter(({ path }) => path === '/held').length === 2);
    await scene.revokeAlice('cut');
    await Promise.all([ofAlice.closed, http2.closed, upgraded.closed, held]);
    assert.equal((await held).complete, false);
    for (const client of [ofBob, ofNobody]) assert.equal((await client.get()).status, 200);
  });

  test('a WebSocket ends with the others, not by the time that WebSockets have', bounded, async (t) => {
    const scene = await setUp(t, { timeout: 300, upgraded: hour });
    const upgrade = async (leaf?: Leaf) => {
      const client = await present(t, scene.door, { leaf });
      assert.equal((await client.get('app.test', ['Connection: Upgrade', 'Upgrade: websocket'])).status, 101);
      return client;
    };
    const [lost, kept, anonymous] = [await upgrade(alice), await upgrade(bob), await upgrade()];
    await scene.revokeAlice();
    await lost.closed;
    for (const client of [kept, anonymous]) assert.equal(client.socket.destroyed, false);
    await eventually(() => scene.door.connections.size === 4);
  });

  test('a connection on which nothing was let in because of the certificate stays', bounded, async (t) => {
    const scene = await setUp(t, {});
    const silent = await present(t, scene.door, { leaf: alice });
    await eventually(() => scene.door.connections.accepted.at(-1)?.client != null);
    await scene.revokeAlice();
    assert.equal(scene.door.connections.accepted.at(-1)?.draining, false);
    assert.equal((await silent.get()).status, 403);
  });

  test('nothing is drained for a bundle that changed otherwise', bounded, async (t) => {
    const scene = await setUp(t, {});
    const other = await createAuthority();
    await exchangeBundles(scene.door, [bundle('staff', staff.certificatePem, other.certificatePem)]);
    await exchangeBundles(scene.door, [bundle('staff', staff.certificatePem), bundle('b', other.certificatePem)]);
    assert.deepEqual(draining(scene), [false, false, false]);
    await exchangeBundles(scene.door, [bundle('b', staff.certificatePem)]);
    assert.deepEqual(draining(scene), [true, true, false], 'gone is gone, whatever another bundle says');
  });

  test('who was let in by two bundles needs both', bounded, async (t) => {
    const upstream = await startUpstream(t);
    const both = ['staff', 'partners'].map((id) => bundle(id, staff.certificatePem));
    const door = await startFrontDoor(t, {
      upstream: upstream.url,
      bundles: both,
      clients: rules(optional('staff'), { 'p.app.test': optional('partners') }),
    });
    const [one, two] = [await present(t, door, { leaf: alice }), await present(t, door, { leaf: alice })];
    for (const client of [one, two]) assert.equal((await client.get()).status, 200);
    assert.equal((await two.get('p.app.test')).status, 200);
    const revoked = bundle('partners', staff.certificatePem, await staff.crl([alice]));
    await exchangeBundles(door, [...both.slice(0, 1), revoked]);
    assert.deepEqual(
      door.connections.accepted.map((connection) => connection.draining),
      [false, true],
    );
  });

  test('a resumed session with intermediates is re-checked with them', bounded, async (t) => {
    const scene = await setUp(t, {});
    const intermediate = await staff.intermediate();
    const leaf = await intermediate.issue({ names: ['client.test'], eku: ['clientAuth'] });
    const first = await present(t, scene.door, { leaf });
    const session = await first.ticket;
    const resumed = await present(t, scene.door, { leaf, session });
    assert.deepEqual([(await resumed.get()).status, resumed.reused], [200, true]);
    await scene.revokeAlice();
    assert.equal(scene.door.connections.accepted.at(-1)?.draining, false);
    const crl = await staff.crl([intermediate]);
    const ended = once(resumed.socket, 'close');
    await exchangeBundles(scene.door, [bundle('staff', staff.certificatePem, crl)], 'cut');
    await ended;
  });
});
