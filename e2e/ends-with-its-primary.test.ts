import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { temporaryDirectory, writePair } from '../test/support/files.ts';
import { createAuthority } from '../test/support/pki.ts';
import { answerOf, openHttp1, openHttp2, openWebSocket } from './support/clients.ts';
import { type HeldUpstream, secondHalf, startHeldUpstream } from './support/held-upstream.ts';
import { bounded, type LogLine, type RunningSwivel, SwivelProcess, startSwivel } from './support/swivel.ts';
import { until } from './support/until.ts';
import { childrenOf, endAfter, isListening, killable, runs, settled, sharedFiles } from './support/workers.ts';

interface Scene {
  readonly swivel: RunningSwivel;
  readonly upstream: HeldUpstream;
  readonly door: { readonly port: number; readonly ca: string };
  readonly certs: string;
  readonly pids: number[];
}

const workers = ['--workers', '2'];
const isEvent = (event: string) => (line: LogLine) => line.event === event;

/** A Swivel of two workers. @param wrap before its command */
async function start(t: TestContext, drain: object, wrap: readonly string[] = []): Promise<Scene> {
  const authority = await createAuthority();
  const certs = await temporaryDirectory(t);
  await writePair(certs, 'tls', await authority.issue());
  const upstream = await startHeldUpstream(t);
  const options = { certs, upstream: upstream.url, config: { drain }, flags: workers, wrap };
  const pids: number[] = [];
  // First, for the end of Swivel is the end of all its processes.
  endAfter(t, pids);
  const swivel = await startSwivel(killable(t), options);
  pids.push(...(await settled(swivel, 2)).map(({ pid }) => pid));
  return { swivel, upstream, door: { port: swivel.port, ca: authority.certificatePem }, certs, pids };
}

/** Requests that the upstream holds, on so many connections that each worker has some. */
async function keepBusy(t: TestContext, { door, upstream }: Pick<Scene, 'door' | 'upstream'>) {
  const clients = await Promise.all(Array.from({ length: 8 }, () => openHttp1(t, door, 'localhost')));
  const names = clients.map((_, i) => `request-${i}`);
  clients.forEach((client, i) => void client.ask(`/${i % 2 ? 'half' : 'hold'}/${names[i]}`));
  const http2 = await openHttp2(t, door, 'localhost');
  http2.closed.catch(() => {});
  const stream = answerOf(http2.ask('/hold/stream'));
  stream.catch(() => {});
  await Promise.all([...names, 'stream'].map((name) => upstream.arrived(name)));
  return {
    clients,
    /** Has the upstream answer. Every answer has to come through whole. */
    async finish() {
      for (const name of [...names, 'stream']) upstream.release(name);
      for (const [i, client] of clients.entries()) {
        const { status, body } = await client.response();
        const length = `first half${secondHalf}`.length;
        assert.deepEqual([status, i % 2 ? body.length : body], [200, i % 2 ? length : `released request-${i}`]);
      }
      assert.deepEqual(await stream, { status: 200, body: 'released stream' });
    },
  };
}

/** Kills the primary, and nothing else. Resolves when it is gone. */
async function killPrimary({ child }: SwivelProcess): Promise<void> {
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

/** Nothing of it runs, and no file of it is left. Its output is open for as long as one of its processes runs. */
async function nothingIsLeftOf(swivel: SwivelProcess, pids: readonly number[]): Promise<void> {
  await until('its processes end', async () => !(await Promise.all(pids.map(runs))).includes(true));
  await swivel.ended();
  await until('no file is left', async () => (await sharedFiles()).length === 0);
}

test(
  'killed with -9, the primary leaves its address free at once and its workers to finish what is in flight',
  bounded,
  async (t) => {
    const scene = await start(t, { timeout: '30s', spread: '0s' });
    const { swivel, upstream, door, certs, pids } = scene;
    const busy = await keepBusy(t, scene);
    const idle = await openHttp1(t, door, 'localhost');
    await idle.get('/before');

    const killedAt = performance.now();
    await killPrimary(swivel.process);
    await until('nobody listens', async () => !(await isListening(door.port)));
    const freeAfter = performance.now() - killedAt;
    const flags = ['--listen', `127.0.0.1:${door.port}`, ...workers];
    const next = await startSwivel(t, { certs, upstream: upstream.url, flags });
    const client = await openHttp1(t, door, 'localhost');
    assert.equal((await client.get('/by-the-next')).body, 'answer to /by-the-next');
    assert.equal(await next.metric('swivel_requests_total'), 1);
    assert.deepEqual(await Promise.all(pids.map(runs)), [true, true], 'they still have something to do');
    await busy.finish();
    const finishedAt = performance.now();
    await nothingIsLeftOf(swivel.process, pids);
    const [free, ended] = [freeAfter, performance.now() - finishedAt].map(Math.round);
    t.diagnostic(`the address was free after ${free} ms; the workers ended ${ended} ms after the last answer`);
    await Promise.all([idle, ...busy.clients].map(({ closed }) => closed));
  },
);

test('what is in flight longer than the drain timeout is cut then, and the workers end', bounded, async (t) => {
  const scene = await start(t, { timeout: '500ms', upgraded: '1h', spread: '0s' });
  const { swivel, door, pids } = scene;
  const { clients } = await keepBusy(t, scene);
  const webSocket = await openWebSocket(t, door, 'localhost');
  const killedAt = performance.now();
  await killPrimary(swivel.process);
  await Promise.all(clients.map(({ closed }) => closed));
  assert.equal(await webSocket.closed, 1006);
  await nothingIsLeftOf(swivel.process, pids);
  const took = performance.now() - killedAt;
  t.diagnostic(`gone after ${Math.round(took)} ms, of which 500 ms were theirs`);
  assert.ok(took > 450, 'they had the time that was configured');
});

const moments: { readonly name: string; come(swivel: SwivelProcess): Promise<unknown> }[] = [
  {
    name: 'as soon as there is a worker',
    come: (swivel) => until('a worker', async () => (await childrenOf(swivel.pid)).length > 0),
  },
  { name: 'when the first worker serves', come: (swivel) => swivel.line(isEvent('worker')) },
  { name: 'when all serve', come: (swivel) => swivel.line(isEvent('listening')) },
];

for (const { name, come } of moments) {
  test(`killed with -9 ${name}, the primary leaves nothing running`, bounded, async (t) => {
    const certs = await temporaryDirectory(t);
    await writePair(certs, 'tls', await (await createAuthority()).issue());
    const args = ['--listen', '127.0.0.1:0', '--admin', 'off', '--log-format', 'json', ...workers];
    const swivel = new SwivelProcess(['serve', '--certs', certs, '--upstream', 'http://127.0.0.1:9', ...args]);
    t.after(() => swivel.kill('SIGKILL'));
    await come(swivel);
    const pids = (await childrenOf(swivel.pid)).map(({ pid }) => pid);
    endAfter(t, pids);
    await killPrimary(swivel);
    await nothingIsLeftOf(swivel, pids);
  });
}

// A terminal and a service manager signal every process: `setsid` makes a group of them.
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  test(`${signal} to all of its processes is one graceful stop that cuts nothing`, bounded, async (t) => {
    const scene = await start(t, { timeout: '30s', spread: '0s' }, ['setsid']);
    const { swivel, door, pids } = scene;
    const busy = await keepBusy(t, scene);
    process.kill(-swivel.process.pid, signal);
    await swivel.process.line(isEvent('stopping'));
    await until('nobody listens', async () => !(await isListening(door.port)));
    await busy.finish();
    const { code, stdout } = await swivel.process.ended();
    assert.equal(code, 0);
    assert.doesNotMatch(stdout, /WORKERS?_|"level":"error"/);
    const stopped = await swivel.process.line(isEvent('stopped'));
    assert.deepEqual([stopped['level'], stopped['cut']], ['info', 0]);
    await nothingIsLeftOf(swivel.process, pids);
  });
}

test('a stop that comes while workers are being replaced ends those that start as well', bounded, async (t) => {
  const scene = await start(t, { timeout: '30s', spread: '0s' });
  const { swivel, pids } = scene;
  const busy = await keepBusy(t, scene);
  for (const pid of pids) process.kill(pid, 'SIGTERM');
  await until('others start', async () => (await childrenOf(swivel.process.pid)).length === 4);
  swivel.process.kill('SIGTERM');
  await swivel.process.line(isEvent('stopping'));
  pids.push(...(await childrenOf(swivel.process.pid)).map(({ pid }) => pid));
  await busy.finish();
  const { code, stdout } = await swivel.process.ended();
  assert.equal(code, 0);
  assert.doesNotMatch(stdout, /WORKERS?_|"level":"error"/);
  await nothingIsLeftOf(swivel.process, pids);
});
