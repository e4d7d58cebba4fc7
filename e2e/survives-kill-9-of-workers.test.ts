import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { KubernetesVolume, temporaryDirectory } from '../test/support/files.ts';
import { forkUpstream } from '../test/support/load/upstream.ts';
import { createAuthority, type Leaf } from '../test/support/pki.ts';
import { MarkedLoad, overcharged, type Strike, strike, unaccounted } from './support/marked-load.ts';
import { type RunningSwivel, startSwivel } from './support/swivel.ts';
import { patience, until } from './support/until.ts';
import { childrenOf, descriptorsOf, metricsOf, settled, sharedFiles, workersOf } from './support/workers.ts';

/** A minute shows more; the suite has no time for it. */
const seconds = Number(process.env['SWIVEL_SOAK_SECONDS'] ?? 8);
const size = 2;
const rotationsPerSecond = 2;
/** Of each HTTP/2 connection. */
const streams = 3;

/** Something that is done again and again until it is told to stop. */
function again(t: TestContext, everyMs: number, work: () => Promise<void>): { stop(): Promise<void> } {
  let over = false;
  const loop = async () => {
    while (!over) {
      const next = pause(everyMs);
      await work();
      await next;
    }
  };
  const looping = loop();
  looping.catch(() => {});
  const stop = () => {
    over = true;
    return looping;
  };
  t.after(() => stop().catch(() => {}));
  return { stop };
}

/** Reads the metrics, and keeps every counter that went back or was lost. */
class Scrapes {
  readonly faults: string[] = [];
  count = 0;
  #before = new Map<string, number>();
  readonly #swivel: RunningSwivel;

  constructor(swivel: RunningSwivel) {
    this.#swivel = swivel;
  }

  async look(): Promise<ReadonlyMap<string, number>> {
    const now = await metricsOf(this.#swivel);
    this.count += 1;
    for (const [series, value] of this.#before) {
      // prom-client ends the names of some gauges in _total.
      if (!/^swivel_\w+_(total|count|bucket|sum)(\{|$)/.test(series)) continue;
      const after = now.get(series);
      // What a worker used of the machine ends with it.
      if (after === undefined && /[{,]worker="/.test(series)) continue;
      if (after === undefined || after < value) this.faults.push(`${series}: ${value}, then ${after}`);
    }
    this.#before = now;
    return now;
  }

  /** The sum of a family at the last look. */
  sumOf(family: string): number {
    const values = [...this.#before].filter(([series]) => series.split('{')[0] === family);
    return values.reduce((sum, [, value]) => sum + value, 0);
  }
}

/** What a process holds that could be left behind by those it started. */
async function holdings({ process: { pid }, adminUrl }: RunningSwivel) {
  const asked = new URL(adminUrl).port;
  const tcp = (await readFile('/proc/net/tcp', 'utf8')).split('\n').map((line) => line.trim().split(/\s+/));
  const visitors = new Set<string>();
  for (const [, local = '', , state, , , , , , inode = ''] of tcp) {
    // 0A: listens.
    const port = Number.parseInt(local.split(':')[1] ?? '', 16);
    if (String(port) === asked && state !== '0A') visitors.add(`socket:[${inode}]`);
  }
  const kinds: Record<string, number> = {};
  for (const link of await descriptorsOf(pid)) {
    const kind = link.replace(/[0-9a-f]{8}-[0-9a-f-]+|\d+/g, '*');
    if (!visitors.has(link)) kinds[kind] = (kinds[kind] ?? 0) + 1;
  }
  const children = (await childrenOf(pid)).map(({ state }) => (state === 'Z' ? 'zombie' : 'child'));
  return { kinds, children, files: await sharedFiles() };
}

test(`kill -9 of a random worker every second for ${seconds} seconds costs what it had in flight, and nothing else`, {
  timeout: seconds * 1000 + 4 * patience,
}, async (t) => {
  const authority = await createAuthority();
  const leaves = await authority.issueMany(Array.from({ length: seconds * rotationsPerSecond * 2 + 1 }, () => ({})));
  const [first, ...renewed] = leaves as [Leaf, ...Leaf[]];
  const volume = new KubernetesVolume(await temporaryDirectory(t));
  await volume.updateLeaf(first);
  const upstream = await forkUpstream();
  t.after(() => upstream.close());
  const swivel = await startSwivel(t, {
    certs: volume.directory,
    upstream: upstream.url,
    flags: ['--workers', String(size)],
  });
  await settled(swivel, size);
  const load = new MarkedLoad(t, { port: swivel.port, ca: authority.certificatePem });
  load.start({ streams });
  const scrapes = new Scrapes(swivel);
  await scrapes.look();
  const before = await holdings(swivel);

  const began = performance.now();
  const strikes: Strike[] = [];
  const killing = again(t, 1000, async () => {
    // One that starts may be hit as well.
    const present = (await workersOf(swivel)).filter(({ pid }) => pid > 0);
    const victim = present[Math.floor(Math.random() * present.length)];
    if (victim) strikes.push(strike(victim.pid, swivel.port));
  });
  const scraping = again(t, 50, async () => void (await scrapes.look()));
  const log = swivel.process.follow();
  const timings: number[] = [];
  const stale: string[] = [];
  let shown = 0;
  let last = first;
  while (performance.now() - began < seconds * 1000) {
    const next = pause(1000 / rotationsPerSecond);
    last = renewed.shift() as Leaf;
    const wroteAt = performance.now();
    await volume.updateLeaf(last);
    await log(({ event, to }) => event === 'rotation' && to === last.fingerprint256);
    timings.push(performance.now() - wroteAt);
    await until('all workers report the last generation', async () => {
      const { workers, generation } = await swivel.status();
      return workers.every(({ state, generation: has }) => state === 'starting' || has === generation);
    });
    for (let i = 0; i < size * 2; i += 1) {
      const seen = await load.shown();
      if (seen !== null) shown += 1;
      if (seen !== null && seen !== last.fingerprint256) stale.push(`after rotation ${timings.length}: ${seen}`);
    }
    await next;
  }
  await killing.stop();
  await scraping.stop();
  await settled(swivel, size);
  for (let i = 0; i < size * 4; i += 1) assert.equal(await load.shown(), last.fingerprint256);
  await load.stop();
  await until('every connection is gone', async () => (await swivel.status()).connections.open === 0);
  await scrapes.look();

  const connections = strikes.reduce((sum, { ports }) => sum + ports.size, 0);
  timings.sort((a, b) => a - b);
  const rotations = `${timings.length} rotations, median ${Math.round(timings[timings.length >> 1] ?? 0)} ms`;
  t.diagnostic(
    `${strikes.length} kills; ${load.answered} answers on ${load.connections} connections, ${load.losses.length} lost of ` +
      `${connections} connections that were cut; ${rotations}, worst ${Math.round(timings.at(-1) ?? 0)} ms; ` +
      `${shown} handshakes looked at; ${scrapes.count} scrapes; ` +
      `${scrapes.sumOf('swivel_requests_total')} requests counted`,
  );
  assert.deepEqual(unaccounted(load.losses, strikes), [], 'lost on a connection to a worker that was not killed');
  assert.deepEqual(overcharged(load.losses, streams), []);
  assert.ok(strikes.length >= seconds / 2, `${strikes.length} kills`);
  assert.deepEqual(stale, []);
  assert.deepEqual(scrapes.faults, []);
  assert.equal(scrapes.sumOf('swivel_worker_deaths_total'), strikes.length);
  // What was answered in the very turn of the event loop in which the worker was killed was not written down yet.
  const uncounted = load.answered - scrapes.sumOf('swivel_requests_total');
  assert.ok(uncounted <= 0, `${uncounted} answers were not counted`);
  const after = await until('what killed workers left is gone', async () => {
    const now = await holdings(swivel);
    return JSON.stringify(now) === JSON.stringify(before) && now;
  }).catch(() => holdings(swivel));
  assert.deepEqual(after, before);
});
