import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { type TestContext, test } from 'node:test';
import { temporaryDirectory, writePair } from '../test/support/files.ts';
import { createAuthority } from '../test/support/pki.ts';
import { answerOf, openHttp1, openHttp2, openWebSocket } from './support/clients.ts';
import { type HeldUpstream, startHeldUpstream } from './support/held-upstream.ts';
import { bounded, type RunningSwivel, startSwivel } from './support/swivel.ts';

interface Scene {
  readonly swivel: RunningSwivel;
  readonly upstream: HeldUpstream;
  readonly door: { readonly port: number; readonly ca: string };
  readonly directory: string;
}

async function start(t: TestContext, drain: object): Promise<Scene> {
  const authority = await createAuthority();
  const directory = await temporaryDirectory(t);
  await writePair(directory, 'tls', await authority.issue());
  const upstream = await startHeldUpstream(t);
  const swivel = await startSwivel(t, { certs: directory, upstream: upstream.url, config: { drain } });
  return { swivel, upstream, door: { port: swivel.port, ca: authority.certificatePem }, directory };
}

const isEvent = (event: string) => (line: { event?: string }) => line.event === event;

test(
  'readiness goes first, new clients are served until it was noticed, and nothing in flight is lost',
  bounded,
  async (t) => {
    const { swivel, upstream, door } = await start(t, { timeout: '20s', readinessDelay: '2s' });
    const [idle, busy, downloading] = await Promise.all([1, 2, 3].map(() => openHttp1(t, door, 'localhost')));
    const http2 = await openHttp2(t, door, 'localhost');
    await idle?.get('/before');
    busy?.ask('/hold/busy');
    downloading?.ask('/half/download');
    const stream = answerOf(http2.ask('/hold/stream'));
    await Promise.all(['busy', 'download', 'stream'].map((name) => upstream.arrived(name)));

    swivel.process.kill('SIGTERM');
    await swivel.process.line(isEvent('stopping'));
    const { status, body } = await swivel.ready();
    assert.deepEqual([status, body.ready], [503, false]);
    const { conditions } = await swivel.status();
    assert.equal(conditions.find(({ type }) => type === 'Serving')?.reason, 'Stopping');
    const late = await openHttp1(t, door, 'localhost');
    const { lastOne, ...answer } = await late.get('/late');
    assert.deepEqual(answer, { status: 200, body: 'answer to /late' });
    assert.equal(lastOne, false);

    // The delay is over when the HTTP/2 connection is told that it will end.
    await once(http2.session, 'goaway');
    const refused = connect(door.port, '127.0.0.1');
    const [error] = await once(refused, 'error');
    assert.equal((error as { code: string }).code, 'ECONNREFUSED');
    assert.deepEqual(await idle?.get('/asked'), { status: 200, body: 'answer to /asked', lastOne: true });
    for (const name of ['busy', 'download', 'stream']) upstream.release(name);
    const last = await busy?.response();
    assert.match(last?.head ?? '', /^connection: close\r$/im);
    assert.equal(last?.body, 'released busy');
    const downloaded = await downloading?.response();
    assert.equal(downloaded?.body.length, 'first half'.length + 256 * 1024);
    assert.deepEqual(await stream, { status: 200, body: 'released stream' });
    await http2.closed;
    await Promise.all([idle, busy, downloading, late].map((client) => client?.closed));
    const { code } = await swivel.process.ended();
    assert.equal(code, 0);
    const stopped = await swivel.process.line(isEvent('stopped'));
    assert.deepEqual([stopped['level'], stopped['cut']], ['info', 0]);
  },
);

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`a second ${signal} ends it at once`, bounded, async (t) => {
    const { swivel, upstream, door } = await start(t, { timeout: '1h', upgraded: '1h' });
    const client = await openHttp1(t, door, 'localhost');
    const webSocket = await openWebSocket(t, door, 'localhost');
    client.ask('/hold/forever');
    await upstream.arrived('forever');
    swivel.process.kill(signal);
    await swivel.process.line(isEvent('stopping'));
    assert.equal(await webSocket.echo('still here'), 'still here');
    swivel.process.kill(signal);
    assert.equal((await swivel.process.ended()).code, 0);
    const stopped = await swivel.process.line(isEvent('stopped'));
    assert.deepEqual([stopped['level'], stopped['cut']], ['warn', 2]);
  });
}

test('a second signal does not wait for the end of the readiness delay', bounded, async (t) => {
  const { swivel, door } = await start(t, { timeout: '1h', readinessDelay: '1h' });
  const client = await openHttp1(t, door, 'localhost');
  swivel.process.kill('SIGTERM');
  await swivel.process.line(isEvent('stopping'));
  await client.get();
  swivel.process.kill('SIGINT');
  assert.equal((await swivel.process.ended()).code, 0);
});

test('what does not end by the deadline is cut and counted, and that is no failure', bounded, async (t) => {
  const { swivel, upstream, door, directory } = await start(t, { timeout: '700ms', upgraded: '1h', spread: '0s' });
  const stuck = await openHttp1(t, door, 'localhost');
  const webSocket = await openWebSocket(t, door, 'localhost');
  const silent = connect(door.port, '127.0.0.1');
  t.after(() => silent.destroy());
  silent.on('error', () => {});
  const gone = once(silent, 'close');
  stuck.ask('/half/stuck');
  await upstream.arrived('stuck');

  swivel.process.kill('SIGTERM');
  const log = swivel.process.follow();
  await log(isEvent('stopping'));
  await t.test('SIGHUP means nothing any more', async () => {
    await writePair(directory, 'tls', await (await createAuthority()).issue());
    swivel.process.kill('SIGHUP');
  });
  await stuck.closed;
  assert.ok(!stuck.drained, 'the response was cut in its middle');
  assert.equal(await webSocket.closed, 1006);
  await gone;
  const { code, stdout } = await swivel.process.ended();
  assert.equal(code, 0);
  assert.doesNotMatch(stdout, /"event":"reload"/);
  const stopped = await log(isEvent('stopped'));
  assert.deepEqual([stopped['level'], stopped['cut']], ['warn', 3]);
  assert.match(String(stopped['msg']), /3 connections had to be cut/);
});

test('connections that a rotation cut before are not counted as cut by the stop', bounded, async (t) => {
  const { swivel, upstream, door, directory } = await start(t, { timeout: '300ms', spread: '0s' });
  const stuck = await openHttp1(t, door, 'localhost');
  stuck.ask('/hold/stuck');
  await upstream.arrived('stuck');
  await writePair(directory, 'tls', await (await createAuthority()).issue());
  await stuck.closed;
  swivel.process.kill('SIGTERM');
  assert.equal((await swivel.process.ended()).code, 0);
  const stopped = await swivel.process.line(isEvent('stopped'));
  assert.deepEqual([stopped['level'], stopped['cut']], ['info', 0]);
});
