import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import { temporaryDirectory, writePair } from '../test/support/files.ts';
import { createAuthority } from '../test/support/pki.ts';
import { eventually } from '../test/support/swivel.ts';
import { answerOf, openHttp1, openHttp2, openWebSocket, shownTo } from './support/clients.ts';
import { holdHandshake } from './support/held-handshake.ts';
import { secondHalf, startHeldUpstream } from './support/held-upstream.ts';
import { bounded, startSwivel } from './support/swivel.ts';

test(
  'a rotation ends the connections on the old certificate, each in its own way, and touches no other',
  bounded,
  async (t) => {
    const authority = await createAuthority();
    const directory = await temporaryDirectory(t);
    const old = await authority.issue({ names: ['a.test'] });
    const renewed = await authority.issue({ names: ['a.test'] });
    const other = await authority.issue({ names: ['b.test'] });
    await writePair(directory, 'a', old);
    await writePair(directory, 'b', other);
    const upstream = await startHeldUpstream(t);
    // Idle connections are closed at 3 s, the rest is cut at 4 s, and WebSockets at 6 s.
    const drain = { timeout: '4s', spread: '0s', upgraded: '6s' };
    const swivel = await startSwivel(t, { certs: directory, upstream: upstream.url, config: { drain } });
    const door = { port: swivel.port, ca: authority.certificatePem };
    const onA = () => openHttp1(t, door, 'a.test');
    const drained = async (how: string) => (await swivel.metric('swivel_connections_drained_total', { how })) ?? 0;

    const [keepAlive, idle, pending, stuck, downloading] = [
      await onA(),
      await onA(),
      await onA(),
      await onA(),
      await onA(),
    ];
    const nameless = await openHttp1(t, door);
    const untouched = await openHttp1(t, door, 'b.test');
    const http2 = await openHttp2(t, door, 'a.test');
    const idleHttp2 = await openHttp2(t, door, 'a.test');
    const otherHttp2 = await openHttp2(t, door, 'b.test');
    const webSocket = await openWebSocket(t, door, 'a.test');
    const otherWebSocket = await openWebSocket(t, door, 'b.test');
    for (const client of [keepAlive, idle, nameless, untouched]) assert.equal((await client.get()).lastOne, false);
    assert.equal(nameless.fingerprint256, old.fingerprint256);
    pending.ask('/hold/pending');
    stuck.ask('/hold/stuck');
    downloading.ask('/half/download');
    const streams = [answerOf(http2.ask('/hold/stream')), answerOf(http2.ask('/half/stream-download'))];
    for (const name of ['pending', 'stuck', 'download', 'stream', 'stream-download']) await upstream.arrived(name);
    await downloading.until('first half');

    // Three clients are in the middle of their handshake: with and without a server name, and one that has not said a word.
    const [named, unnamed] = [await holdHandshake(t, swivel.port), await holdHandshake(t, swivel.port)];
    const shaking = openHttp1(t, { ...door, port: named.port }, 'a.test');
    const shakingNameless = openHttp1(t, { ...door, port: unnamed.port });
    await Promise.all([named.answered, unnamed.answered]);
    const wordless = connect(door.port, '127.0.0.1');
    t.after(() => wordless.destroy());

    await writePair(directory, 'a', renewed);
    const rotation = await swivel.process.line(({ event }) => event === 'rotation');
    assert.equal(rotation['certificate'], 'a');

    await t.test('new connections get the new certificate', async () => {
      assert.equal(await shownTo(door, 'a.test'), renewed.fingerprint256);
      assert.equal(await shownTo(door), renewed.fingerprint256);
      assert.equal(await shownTo(door, 'b.test'), other.fingerprint256);
    });

    await t.test('an old connection still works, and its next response is its last', async () => {
      for (const client of [keepAlive, nameless]) {
        assert.deepEqual(await client.get('/again'), { status: 200, body: 'answer to /again', lastOne: true });
        assert.deepEqual(await client.closed, { error: null });
      }
    });

    await t.test('a handshake that the rotation met half-way is completed, and the connection drained', async () => {
      named.release();
      unnamed.release();
      for (const client of [await shaking, await shakingNameless]) {
        assert.equal(client.fingerprint256, old.fingerprint256);
        assert.deepEqual(await client.get(), { status: 200, body: 'answer to /', lastOne: true });
        assert.deepEqual(await client.closed, { error: null });
      }
    });

    await t.test('one that was accepted before and began its handshake after is not', async () => {
      const client = await openHttp1(t, door, 'a.test', wordless);
      assert.equal(client.fingerprint256, renewed.fingerprint256);
      assert.equal((await client.get()).lastOne, false);
    });

    await t.test('HTTP/2 is sent GOAWAY, and the streams in flight end', async () => {
      upstream.release('stream');
      upstream.release('stream-download');
      const [answer, download] = await Promise.all(streams);
      assert.deepEqual(answer, { status: 200, body: 'released stream' });
      assert.equal(download?.body, `first half${secondHalf}`);
      await http2.closed;
      assert.ok(http2.goaways.length > 0);
      assert.equal(http2.goaways[0], 2 ** 31 - 1);
    });

    await t.test('a slow download goes on to its end', async () => {
      upstream.release('download');
      assert.equal((await downloading.response()).body, `first half${secondHalf}`);
    });

    await t.test('an idle connection is closed politely, and one with a request in flight is not', async () => {
      assert.deepEqual(await idle.closed, { error: null });
      assert.ok(idle.drained);
      await idleHttp2.closed;
      assert.equal(idleHttp2.goaways.length, 1);
      upstream.release('pending');
      const { head, body } = await pending.response();
      assert.equal(body, 'released pending');
      assert.match(head, /^connection: close\r$/im);
      assert.deepEqual(await pending.closed, { error: null });
    });

    await t.test('what is left at the deadline is cut, and counted', async () => {
      assert.equal(await drained('deadline'), 0);
      await stuck.closed;
      assert.equal(stuck.text.includes('/hold/stuck'), false);
      await eventually(async () => (await drained('deadline')) === 1);
    });

    await t.test('a WebSocket has a deadline of its own', async () => {
      assert.equal(await webSocket.echo('after the deadline of the others'), 'after the deadline of the others');
      assert.equal(await webSocket.closed, 1006);
      // The client knows of it before it is counted.
      await eventually(async () => (await drained('deadline')) === 2);
    });

    await t.test('connections on the certificate that was not changed noticed nothing', async () => {
      assert.deepEqual(await untouched.get('/still'), { status: 200, body: 'answer to /still', lastOne: false });
      assert.equal((await otherHttp2.get('/still')).body, 'answer to /still');
      assert.deepEqual(otherHttp2.goaways, []);
      assert.equal(await otherWebSocket.echo('still'), 'still');
      const { connections, rotations } = await swivel.status();
      assert.deepEqual(connections.byCertificate['b'], { current: 3, draining: 0 });
      assert.equal(connections.draining, 0);
      assert.equal(await swivel.metric('swivel_connections_open', { state: 'draining' }), 0);
      assert.equal(rotations.length, 1);
      // All on the old certificate; the handshake without a name was not known to be one of them yet.
      assert.equal(rotations[0]?.drained, 10);
      assert.equal(await drained('graceful'), 9);
    });
  },
);
