import assert from 'node:assert/strict';
import { cp, readFile, symlink, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { RestartAnswer } from '../src/admin/index.ts';
import { temporaryDirectory, writePair } from '../test/support/files.ts';
import { bodyFor } from '../test/support/load/bodies.ts';
import { Load, summarize } from '../test/support/load/load.ts';
import { createAuthority } from '../test/support/pki.ts';
import { openHttp1, openWebSocket, shownTo } from './support/clients.ts';
import { serviceOf } from './support/modest-load.ts';
import { gone } from './support/process-facts.ts';
import { bounded, type RunningSwivel, runSwivel, type StartOptions, startSwivel } from './support/swivel.ts';
import { patience, until } from './support/until.ts';
import { startDigestUpstream, startUpload } from './support/uploads.ts';
import { settled, statusOf, workersOf } from './support/workers.ts';

const host = 'app.test';

interface Refusal {
  readonly code: string;
  readonly message: string;
  readonly remedy: string;
}

/** POST /restart-workers, with what a client may send beside it. */
async function restart<T = RestartAnswer>(
  { adminUrl }: Pick<RunningSwivel, 'adminUrl'>,
  headers: Readonly<Record<string, string>> = {},
): Promise<{ status: number; body: T }> {
  const asked = request(`${adminUrl}/restart-workers`, { method: 'POST', headers });
  const answered = new Promise<{ status: number; body: T }>((resolve, reject) => {
    asked.on('error', reject).on('response', async (response) => {
      let text = '';
      for await (const chunk of response) text += String(chunk);
      resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) as T });
    });
  });
  asked.end();
  return answered;
}

/** A Swivel with a certificate, a service that answers, and one that takes uploads. */
async function prepare(t: TestContext, options: StartOptions = {}) {
  const authority = await createAuthority();
  const directory = await temporaryDirectory(t);
  await writePair(directory, 'app', await authority.issue({ names: [host] }));
  const upstream = await serviceOf(t);
  const swivel = await startSwivel(t, {
    certs: directory,
    ...options,
    config: {
      upstreams: { main: { targets: [upstream.url] }, uploads: { targets: [await startDigestUpstream(t)] } },
      routes: [{ path: '/upload', upstream: 'uploads' }, { upstream: 'main' }],
      drain: { spread: '500ms' },
      ...options.config,
    },
  });
  const door = { port: swivel.port, ca: authority.certificatePem };
  return { authority, directory, swivel, door };
}

/** Clients that are to notice nothing. */
async function busy(t: TestContext, door: { port: number; ca: string }) {
  const clients = { keepAliveClients: 8, freshPerSecond: 20, http2Connections: 3, webSockets: 3, downloadBytes: 0 };
  const load = new Load({ target: { ...door, servername: host }, ...clients, thinkMs: 30, http2ThinkMs: 60 });
  t.after(() => load.abandon());
  await load.start();
  const uploads = await Promise.all(Array.from({ length: 4 }, () => startUpload(door, host)));
  return {
    /** Ends them. */
    unharmed: async () => {
      assert.deepEqual(await Promise.all(uploads.map((upload) => upload.finish())), [true, true, true, true]);
      const report = await load.stop();
      assert.ok(report.requests > 0);
      assert.deepEqual(summarize(report), {});
    },
  };
}

test('every worker is replaced, and no client notices', bounded, async (t) => {
  const { authority, directory, swivel, door } = await prepare(t, { flags: ['--workers', '2'] });
  const before = await settled(swivel, 2);
  for (const { pid } of before) assert.equal((await statusOf(pid))?.get('PPid'), String(swivel.process.pid));
  const clients = await busy(t, door);
  const webSocket = await openWebSocket(t, door, host);
  const idle = await openHttp1(t, door, host);
  assert.equal((await idle.get()).lastOne, false);

  await t.test('twice at the same time is one restart, and the answer tells who replaced whom', async () => {
    const [first, second] = await Promise.all([restart(swivel), restart(swivel)]);
    assert.deepEqual([first.status, second.status], [200, 200]);
    assert.deepEqual(first.body, second.body);
    const { version } = JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8'));
    assert.deepEqual(first.body, {
      generation: 1,
      replaced: [
        { old: 1, new: 3, version },
        { old: 2, new: 4, version },
      ],
    });
  });

  const old = before.map(({ pid }) => pid);
  await t.test('others serve, and those that have connections are still there', async () => {
    const workers = await workersOf(swivel);
    const serving = workers.filter(({ state }) => state === 'serving');
    assert.deepEqual(
      serving.map(({ id, generation }) => [id, generation]),
      [
        [3, 1],
        [4, 1],
      ],
    );
    for (const { pid } of serving) assert.ok(!old.includes(pid));
    const { conditions, ready } = await swivel.status();
    assert.equal(ready, true);
    for (const type of ['WorkersServing', 'WorkersInSync']) {
      assert.equal(conditions.find((one) => one.type === type)?.status, 'True', type);
    }
    const client = await openHttp1(t, door, host);
    const { status, lastOne } = await client.get();
    client.destroy();
    assert.deepEqual([status, lastOne], [200, false]);
  });

  await t.test('a WebSocket lives on in the old one, a connection that was idle is given its last answer', async () => {
    assert.equal(await webSocket.echo('after'), 'after');
    // Who drains is asked to leave within half a second.
    await until('its last answer', async () => {
      const { status, body, lastOne } = await idle.get('/idle');
      assert.deepEqual([status, body], [200, bodyFor('/idle')]);
      return lastOne;
    });
    assert.deepEqual(await idle.closed, { error: null });
  });

  await t.test('not one request failed', () => clients.unharmed());

  await t.test('the old ones end with their last connection', async () => {
    assert.equal(await webSocket.echo('the last one'), 'the last one');
    await until('one of them is left', async () => {
      const left = (await workersOf(swivel)).filter(({ state }) => state === 'leaving');
      return left.length === 1 && old.includes(left[0]?.pid ?? 0);
    });
    assert.equal(await webSocket.echo('the very last one'), 'the very last one');
    webSocket.socket.close();
    await webSocket.closed;
    await gone(old);
    assert.deepEqual(
      (await settled(swivel, 2)).map(({ id }) => id),
      [3, 4],
    );
    assert.equal(await swivel.metric('swivel_worker_deaths_total'), 0);
  });

  await t.test('swivel restart-workers does the same, and says so', async () => {
    const { code, stdout, stderr } = await runSwivel(['restart-workers', '--admin', swivel.adminUrl]);
    assert.deepEqual([code, stderr], [0, '']);
    assert.match(stdout, /^worker 3 was replaced by worker 5, version \S+\nworker 4 was replaced by worker 6, .*\n$/);
  });

  await t.test('rotations in the middle of it are missed by nobody', async () => {
    const leaves = await authority.issueMany(Array.from({ length: 8 }, () => ({ names: [host] })));
    let restarting = true;
    const restarted = restart(swivel).finally(() => {
      restarting = false;
    });
    let rotations = 0;
    for (const leaf of leaves) {
      if (!restarting) break;
      await writePair(directory, 'app', leaf);
      await swivel.process.line(({ event, to }) => event === 'rotation' && to === leaf.fingerprint256);
      const shown = await Promise.all(Array.from({ length: 12 }, () => shownTo(door, host)));
      assert.deepEqual(new Set(shown), new Set([leaf.fingerprint256]));
      rotations += 1;
    }
    assert.equal((await restarted).status, 200);
    assert.ok(rotations > 0);
    const generations = (await settled(swivel, 2)).map(({ generation }) => generation);
    assert.deepEqual(generations, [1 + rotations, 1 + rotations]);
    const shown = await Promise.all(Array.from({ length: 12 }, () => shownTo(door, host)));
    assert.deepEqual(new Set(shown), new Set([leaves[rotations - 1]?.fingerprint256]));
  });

  await t.test('nobody but this machine may ask for it, and no web page', async () => {
    for (const headers of [{ origin: 'http://127.0.0.1' }, { host: 'evil.test' }, { origin: swivel.adminUrl }]) {
      const { status, body } = await restart<Refusal>(swivel, headers);
      assert.deepEqual([status, body.code], [403, 'ADMIN_REFUSED']);
    }
    assert.equal((await fetch(`${swivel.adminUrl}/restart-workers`)).status, 405);
    const { workers } = await swivel.status();
    assert.deepEqual(
      workers.filter(({ state }) => state === 'serving').map(({ id }) => id),
      [7, 8],
    );
  });
});

test('an upgraded connection ends at the deadline of its own, and the old worker with it', bounded, async (t) => {
  const drain = { upgraded: '2s', timeout: '1s', spread: '0s' };
  const { swivel, door } = await prepare(t, { flags: ['--workers', '2'], config: { drain } });
  const old = (await settled(swivel, 2)).map(({ pid }) => pid);
  const webSocket = await openWebSocket(t, door, host);
  const began = performance.now();
  await restart(swivel);
  assert.equal(await webSocket.echo('still'), 'still');
  assert.equal(await webSocket.closed, 1006);
  assert.ok(performance.now() - began >= 2000);
  await gone(old);
});

test('with one process there is nobody to replace, and the answer says what to do', bounded, async (t) => {
  const { swivel, door } = await prepare(t, { flags: ['--workers', '1'] });
  const { status, body } = await restart<Refusal>(swivel);
  assert.deepEqual([status, body.code], [409, 'NO_WORKERS']);
  assert.match(body.remedy, /set workers to auto/);
  const { code, stdout, stderr } = await runSwivel(['restart-workers', '--admin', swivel.adminUrl]);
  assert.deepEqual([code, stdout], [1, '']);
  assert.match(stderr, /^swivel: NO_WORKERS: .*; set workers to auto/);
  assert.equal((await (await openHttp1(t, door, host)).get()).status, 200);
});

/** A copy of the program that can be changed while it runs. */
class Installation {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
  }

  static async make(t: TestContext): Promise<Installation> {
    const directory = await temporaryDirectory(t, 'swivel-program-');
    const root = fileURLToPath(new URL('..', import.meta.url));
    await cp(join(root, 'src'), join(directory, 'src'), { recursive: true });
    await cp(join(root, 'package.json'), join(directory, 'package.json'));
    await symlink(join(root, 'node_modules'), join(directory, 'node_modules'));
    return new Installation(directory);
  }

  /** Runs this program in place of the one in the working tree. */
  get wrap(): string[] {
    return ['sh', '-c', `node="$0"; shift; exec "$node" "${join(this.directory, 'src/main.ts')}" "$@"`];
  }

  /** Replaces a text in a file, which must be there. @returns how to take that back */
  async edit(path: string, text: string | RegExp, by: string): Promise<() => Promise<void>> {
    const file = join(this.directory, path);
    const before = await readFile(file, 'utf8');
    const after = before.replace(text, by);
    assert.notEqual(after, before, `${path} holds no ${text}`);
    await writeFile(file, after);
    return () => writeFile(file, before);
  }
}

test('a new version of the program is taken in place, one that does not work is not', {
  timeout: 4 * patience,
}, async (t) => {
  const program = await Installation.make(t);
  const { swivel, door } = await prepare(t, { flags: ['--workers', '2'], wrap: program.wrap });
  const versions = async () => (await workersOf(swivel)).map(({ id, state, version }) => [id, state, version]);
  const edition = async () => {
    const client = await openHttp1(t, door, host);
    const response = await client.ask().response();
    client.destroy();
    assert.equal(response.status, 200);
    const at = response.fields.indexOf('x-edition');
    return at < 0 ? null : response.fields[at + 1];
  };
  const { version } = JSON.parse(await readFile(join(program.directory, 'package.json'), 'utf8')) as Record<
    string,
    string
  >;
  const clients = await busy(t, door);
  const before = await settled(swivel, 2);
  assert.equal(await edition(), null);

  /** Nobody was replaced, and what is served is what was. */
  const nothingLost = async () => {
    assert.deepEqual(
      (await settled(swivel, 2)).map(({ id, pid }) => [id, pid]),
      before.map(({ id, pid }) => [id, pid]),
    );
    for (let i = 0; i < 6; i += 1) assert.equal(await edition(), null);
  };

  await t.test('one that cannot be loaded', async () => {
    const undo = await program.edit('src/cluster/worker.ts', /^/, 'this is no program;\n');
    const { status, body } = await restart<Refusal>(swivel);
    assert.deepEqual([status, body.code], [500, 'WORKERS_FAILED']);
    assert.match(body.message, /^worker 3 was to take the place of worker 1: /);
    assert.match(body.remedy, /look into the log of Swivel for the reason; the workers that serve go on/);
    await nothingLost();
    const { code, stderr } = await runSwivel(['restart-workers', '--admin', swivel.adminUrl]);
    assert.equal(code, 1);
    assert.match(stderr, /^swivel: WORKERS_FAILED: .*; look into the log of Swivel/);
    await nothingLost();
    await undo();
  });

  await t.test('one that fails when it gets its configuration', async () => {
    const undo = await program.edit(
      'src/proxy/front-door.ts',
      'this.#store = store;',
      "throw new Error('out of order');",
    );
    const { status, body } = await restart<Refusal>(swivel);
    assert.deepEqual([status, body.code], [500, 'WORKERS_FAILED']);
    assert.match(body.message, /out of order/);
    await nothingLost();
    await undo();
  });

  await t.test('one that speaks another protocol', async () => {
    const undo = await program.edit('src/cluster/methods.ts', /protocol = \d+;/, 'protocol = 999;');
    const { status, body } = await restart<Refusal>(swivel);
    assert.deepEqual([status, body.code], [500, 'WORKER_INCOMPATIBLE']);
    const { code, stderr } = await runSwivel(['restart-workers', '--admin', swivel.adminUrl]);
    assert.equal(code, 1);
    assert.match(stderr, /^swivel: WORKER_INCOMPATIBLE: .*; restart Swivel as a whole/);
    await swivel.process.line((line) => line['code'] === 'WORKER_INCOMPATIBLE');
    await nothingLost();
    await undo();
  });

  await t.test('one that is in order', async () => {
    await program.edit('package.json', `"version": "${version}"`, '"version": "99.0.0"');
    await program.edit(
      'src/proxy/headers.ts',
      "if (requestId !== undefined) edited.push('x-request-id', requestId);",
      "edited.push('x-request-id', requestId ?? '', 'x-edition', 'second');",
    );
    const { status, body } = await restart(swivel);
    assert.equal(status, 200);
    assert.deepEqual(
      body.replaced.map(({ old, version: is }) => [old, is]),
      [
        [1, '99.0.0'],
        [2, '99.0.0'],
      ],
    );
    for (const one of await versions()) assert.equal(one[2], one[1] === 'serving' ? '99.0.0' : version);
    for (let i = 0; i < 6; i += 1) assert.equal(await edition(), 'second');
    assert.equal((await swivel.status()).version, version);
  });

  await t.test('not one request failed', () => clients.unharmed());
  await t.test('the old ones are gone', () => gone(before.map(({ pid }) => pid)));
  await until('they are not listed either', async () => (await versions()).length === 2);
});
