import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as until } from 'node:timers/promises';
import { KubernetesVolume, secretOf, temporaryDirectory, writeAtomically } from '../test/support/files.ts';
import { Load, summarize } from '../test/support/load/load.ts';
import { percentilesOf } from '../test/support/load/percentiles.ts';
import { probeRotation } from '../test/support/load/probe.ts';
import { forkUpstream } from '../test/support/load/upstream.ts';
import { createAuthority, type Leaf } from '../test/support/pki.ts';
import { startSwivel } from './support/swivel.ts';

const rotations = 100;
const perSecond = 5;

interface Writer {
  readonly name: string;
  prepare(directory: string): Promise<(leaf: Leaf) => void | Promise<void>>;
}

const writers: Writer[] = [
  {
    name: 'rename',
    async prepare(directory) {
      await mkdir(directory, { recursive: true });
      return (leaf) => writeAtomically(join(directory, 'site.pem'), leaf.keyPem + leaf.chainPem);
    },
  },
  {
    name: '..data swap',
    async prepare(directory) {
      const volume = new KubernetesVolume(directory);
      return (leaf) => volume.update(secretOf(leaf));
    },
  },
];

for (const writer of writers) {
  test(`${rotations} rotations by ${writer.name}, ${perSecond} a second, fail no request and miss none`, async (t) => {
    const authority = await createAuthority();
    const leaves = await authority.issueMany(Array.from({ length: rotations + 1 }, () => ({ names: ['localhost'] })));
    const directory = join(await temporaryDirectory(t), 'certs');
    const write = await writer.prepare(directory);
    const [first, ...renewed] = leaves as [Leaf, ...Leaf[]];
    await write(first);
    const upstream = await forkUpstream();
    t.after(() => upstream.close());
    const swivel = await startSwivel(t, { certs: directory, upstream: `http://127.0.0.1:${upstream.port}` });
    const target = { port: swivel.port, servername: 'localhost', ca: authority.certificatePem };
    // Lively, and below what the machine can carry: what is shown is that nobody is disturbed, not how much fits.
    const load = new Load({
      target,
      thinkMs: 50,
      http2ThinkMs: 100,
      expectedDurationMs: (rotations / perSecond) * 1000,
    });
    t.after(() => load.abandon());
    await load.start();
    const timings: number[] = [];
    const missed: number[] = [];
    for (const [i, leaf] of renewed.entries()) {
      const next = until(1000 / perSecond);
      const timing = await probeRotation({ target, fingerprint256: leaf.fingerprint256, write: () => write(leaf) });
      if (timing.missed) missed.push(i);
      assert.deepEqual(timing.failedHandshakes, []);
      timings.push(timing.completedMs);
      await next;
    }
    const report = await load.stop();
    const { median, p99, worst } = percentilesOf(timings);
    t.diagnostic(`to the first new handshake: median ${median} ms, 99th percentile ${p99} ms, worst ${worst} ms`);
    t.diagnostic(
      `${report.requests} requests, ${report.refusedStreams} refused streams, ${report.idleCloses} idle closes`,
    );
    assert.deepEqual(summarize(report), {});
    assert.deepEqual(missed, []);
    assert.equal(report.download.ok, true);
    const status = await swivel.status();
    assert.equal(status.generation, rotations + 1);
    assert.equal(status.certificates[0]?.fingerprint256, renewed.at(-1)?.fingerprint256);
  });
}
