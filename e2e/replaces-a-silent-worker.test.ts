import assert from 'node:assert/strict';
import { cp, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { temporaryDirectory, writePair } from '../test/support/files.ts';
import { forkUpstream } from '../test/support/load/upstream.ts';
import { createAuthority, type Leaf } from '../test/support/pki.ts';
import { shownTo } from './support/clients.ts';
import { MarkedLoad, strike, unaccounted } from './support/marked-load.ts';
import {
  bounded,
  type LogLine,
  type RunningSwivel,
  type StartOptions,
  SwivelProcess,
  startSwivel,
} from './support/swivel.ts';
import { until } from './support/until.ts';
import { endAfter, runs, settled, workersOf } from './support/workers.ts';

const project = fileURLToPath(new URL('..', import.meta.url));
const workers = ['--workers', '2'];

interface Scene {
  readonly swivel: RunningSwivel;
  readonly load: MarkedLoad;
  readonly door: { readonly port: number; readonly ca: string };
  /** Writes another certificate. @returns it, and the milliseconds until the log told of the rotation */
  rotate(): Promise<{ readonly leaf: Leaf; readonly took: number }>;
}

/** A Swivel of two workers under load. */
async function start(t: TestContext, options: StartOptions = {}): Promise<Scene> {
  const authority = await createAuthority();
  const certs = await temporaryDirectory(t);
  await writePair(certs, 'tls', await authority.issue());
  const upstream = await forkUpstream();
  t.after(() => upstream.close());
  const swivel = await startSwivel(t, {
    certs,
    upstream: upstream.url,
    flags: workers,
    config: { drain: { spread: '300ms' } },
    ...options,
  });
  await settled(swivel, 2);
  const door = { port: swivel.port, ca: authority.certificatePem };
  const load = new MarkedLoad(t, door);
  return {
    swivel,
    load,
    door,
    rotate: async () => {
      const leaf = await authority.issue();
      const log = swivel.process.follow();
      const began = performance.now();
      await writePair(certs, 'tls', leaf);
      await log(({ event, to }) => event === 'rotation' && to === leaf.fingerprint256);
      return { leaf, took: Math.round(performance.now() - began) };
    },
  };
}

/** Keeps workers from starting, and the primary not. */
const broken = "if ((await import('node:cluster')).default.isWorker) throw new Error('broken on purpose');\n";
const light = { keepAlive: 2, http2: 1, streams: 2, freshPerSecond: 10, thinkMs: 50 };
const isDeath = ({ code }: LogLine) => code === 'WORKER_DIED';

async function inSync(swivel: RunningSwivel) {
  return (await swivel.status()).conditions.find(({ type }) => type === 'WorkersInSync');
}

/** The program in a place where it can be broken. @returns what starts it there */
async function copied(t: TestContext): Promise<{ readonly worker: string; readonly wrap: readonly string[] }> {
  const place = await temporaryDirectory(t);
  await Promise.all(
    ['src', 'package.json'].map((part) => cp(join(project, part), join(place, part), { recursive: true })),
  );
  await symlink(join(project, 'node_modules'), join(place, 'node_modules'));
  // In place of the program that `SwivelProcess` names.
  const script = `program=$0; shift; exec "$program" '${join(place, 'src/main.ts')}' "$@"`;
  return { worker: join(place, 'src/plane/worker.ts'), wrap: ['sh', '-c', script] };
}

// Side by side: it takes ten seconds of mere waiting to know that a worker is silent for good.
describe('the number of workers is kept', { concurrency: true }, () => {
  test('one that is silent holds up nobody, is named, and is replaced', bounded, async (t) => {
    const { swivel, load, door, rotate } = await start(t);
    const [silent, other] = await workersOf(swivel);
    assert.ok(silent && other);
    endAfter(t, [silent.pid]);
    process.kill(silent.pid, 'SIGSTOP');
    const first = await rotate();
    const status = await until('it is known as silent', async () => {
      const now = await swivel.status();
      return now.workers.find(({ id }) => id === silent.id)?.state === 'silent' && now;
    });
    const condition = status.conditions.find(({ type }) => type === 'WorkersInSync');
    assert.deepEqual([condition?.status, condition?.reason], ['False', 'Lagging']);
    assert.match(condition?.message ?? '', new RegExp(`worker ${silent.id} \\(process ${silent.pid}, generation 1\\)`));
    assert.equal(status.workers.find(({ id }) => id === other.id)?.generation, status.generation);
    const [second, third] = [await rotate(), await rotate()];
    t.diagnostic(`rotations took ${first.took} ms (the first), ${second.took} and ${third.took} ms`);
    const isKnown = swivel.process.lines.some(({ code }) => code === 'WORKER_SILENT');
    assert.equal(isKnown, false, 'nobody waits until it is replaced');
    for (let i = 0; i < 5; i += 1) assert.equal(await shownTo(door, 'localhost'), third.leaf.fingerprint256);

    load.start(light);
    const line = await swivel.process.line(({ code }) => code === 'WORKER_SILENT');
    assert.deepEqual([line['worker'], line['pid']], [silent.id, silent.pid]);
    const now = await settled(swivel, 2);
    await load.stop();
    t.diagnostic(`${load.answered} answers while it was silent`);
    assert.ok(now.some(({ id }) => id === other.id));
    assert.ok(!(await runs(silent.pid)));
    assert.equal((await inSync(swivel))?.status, 'True');
    assert.equal(swivel.process.lines.filter(({ code }) => code === 'WORKER_SILENT').length, 1);
    assert.deepEqual(load.losses, []);
    assert.ok(load.answered > 0);
  });

  test('one that was silent catches up by itself when it goes on', bounded, async (t) => {
    const { swivel, door, rotate } = await start(t);
    const [silent] = await workersOf(swivel);
    assert.ok(silent);
    endAfter(t, [silent.pid]);
    process.kill(silent.pid, 'SIGSTOP');
    // Committed without it, and before it is silent for so long that it is replaced.
    const { leaf } = await rotate();
    assert.equal((await inSync(swivel))?.status, 'False');
    process.kill(silent.pid, 'SIGCONT');
    const now = await settled(swivel, 2);
    assert.ok(
      now.some(({ pid }) => pid === silent.pid),
      'it was not replaced',
    );
    for (let i = 0; i < 8; i += 1) assert.equal(await shownTo(door, 'localhost'), leaf.fingerprint256);
    assert.equal((await inSync(swivel))?.status, 'True');
    assert.doesNotMatch(swivel.process.stdout, /WORKERS?_|"level":"error"/);
  });

  test('one that is sent SIGTERM is replaced first, and fails no request', bounded, async (t) => {
    const { swivel, load } = await start(t);
    load.start(light);
    const before = await workersOf(swivel);
    for (const { pid } of before) process.kill(pid, 'SIGTERM');
    const pids = before.map(({ pid }) => pid);
    await until('they are gone', async () => !(await Promise.all(pids.map(runs))).includes(true));
    const now = await settled(swivel, 2);
    await load.stop();
    t.diagnostic(`${load.answered} answers`);
    assert.ok(now.every(({ pid }) => !pids.includes(pid)));
    assert.deepEqual(load.losses, []);
    assert.equal(await swivel.metric('swivel_worker_deaths_total'), 0);
    assert.doesNotMatch(swivel.process.stdout, /WORKERS?_|"level":"error"/);
  });

  test(
    'those that cannot start are tried later and later while the others serve, until the program is mended',
    bounded,
    async (t) => {
      const { worker, wrap } = await copied(t);
      const { swivel, load, rotate } = await start(t, { wrap });
      const program = await readFile(worker, 'utf8');
      await writeFile(worker, broken + program);
      load.start(light);
      const [victim, other] = await workersOf(swivel);
      assert.ok(victim && other);
      const struck = strike(victim.pid, swivel.port);
      const deaths = () => swivel.process.lines.filter(isDeath);
      await until('four of them failed', () => deaths().length >= 5);
      const waits = deaths().map(({ replacedInMs }) => Number(replacedInMs));
      t.diagnostic(`each was replaced after ${waits.join(', ')} ms`);
      assert.equal(waits[0], 0, 'who had served is replaced at once');
      // Doubled each time, from half to the whole of it by chance.
      for (const [i, wait] of waits.slice(1).entries()) {
        const whole = 100 * 2 ** i;
        assert.ok(wait >= whole / 2 && wait <= whole, `${wait} ms, the ${i + 1}th time`);
      }
      const { conditions } = await swivel.status();
      assert.equal(conditions.find(({ type }) => type === 'WorkersServing')?.status, 'False');
      await rotate();
      await load.stop();
      assert.deepEqual(unaccounted(load.losses, [struck]), []);
      const told = swivel.process.lines.filter(({ event, code }) => event === 'worker' && code !== undefined);
      assert.ok(told.length <= deaths().length * 2, `${told.length} lines`);
      const printed = swivel.process.stderr.split('\n').length;
      t.diagnostic(`${told.length} lines of log and ${printed} of what they printed for ${deaths().length} deaths`);
      await writeFile(worker, program);
      const now = await settled(swivel, 2);
      assert.ok(now.some(({ id }) => id === other.id));
    },
  );

  test('when none can start, Swivel ends and says why', bounded, async (t) => {
    const { worker, wrap } = await copied(t);
    await writeFile(worker, broken + (await readFile(worker, 'utf8')));
    const certs = await temporaryDirectory(t);
    await writePair(certs, 'tls', await (await createAuthority()).issue());
    const args = ['--certs', certs, '--upstream', 'http://127.0.0.1:9', '--listen', '127.0.0.1:0', '--admin', 'off'];
    const swivel = new SwivelProcess(['serve', ...args, '--log-format', 'json', ...workers], { wrap });
    const { code, stderr, stdout } = await swivel.ended();
    t.diagnostic(
      stderr
        .split('\n')
        .filter((line) => line.startsWith('swivel:'))
        .join(' / '),
    );
    assert.equal(code, 1, stdout);
    assert.match(stderr, /^swivel: WORKERS_FAILED: no worker gets as far as to serve: /m);
    assert.match(stderr, /broken on purpose/);
    assert.ok(swivel.lines.filter(isDeath).length <= 6);
  });
});
