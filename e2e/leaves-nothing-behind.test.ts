import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { KubernetesVolume, secretOf, temporaryDirectory, writeAtomically } from '../test/support/files.ts';
import { createAuthority, type Leaf } from '../test/support/pki.ts';
import { openHttp1, shownTo } from './support/clients.ts';
import { startHeldUpstream } from './support/held-upstream.ts';
import { type Holdings, holdingsOf, holdingsOfAll, inspectable } from './support/inspector.ts';
import { bounded, type RunningSwivel, startSwivel } from './support/swivel.ts';
import { until } from './support/until.ts';

const mebibyte = 1024 ** 2;

/** What the system sees of a process. */
async function footprint({ pid }: RunningSwivel['process']): Promise<{ files: number; threads: number }> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const threads = Number(/^Threads:\s+(\d+)/m.exec(status)?.[1]);
  return { files: (await readdir(`/proc/${pid}/fd`)).length, threads };
}

interface Counts {
  readonly files: number;
  readonly threads: number;
  readonly timers: number;
}

/** A few come and go with connections to the upstream and the admin endpoints; what is left behind would be hundreds. */
function noMoreThan(before: Counts, after: Counts): void {
  for (const what of ['files', 'threads', 'timers'] as const) {
    assert.ok(after[what] <= before[what] + 5, `${after[what]} ${what}, up from ${before[what]}`);
  }
}

test('1,000 rotations and a storm of 2,000 changes leave nothing behind', bounded, async (t) => {
  const authority = await createAuthority();
  const leaves = await authority.issueMany(Array.from({ length: 20 }, () => ({})));
  const [last, ...more] = leaves as [Leaf, ...Leaf[]];
  const base = await temporaryDirectory(t);
  const volume = new KubernetesVolume(base);
  await volume.updateLeaf(last);
  const upstream = await startHeldUpstream(t);
  const drain = { timeout: '2s', spread: '100ms' };
  const swivel = await startSwivel(t, {
    certs: base,
    upstream: upstream.url,
    config: { drain, workers: 1 },
    env: inspectable,
  });
  const door = { port: swivel.port, ca: authority.certificatePem };
  const log = swivel.process.follow();

  const rotate = async (times: number) => {
    for (let i = 0; i < times; i += 1) {
      const leaf = more[i % more.length] as Leaf;
      await volume.update(secretOf(leaf));
      await log(({ event, to }) => event === 'rotation' && to === leaf.fingerprint256);
      // Some of the retired contexts have served somebody, who stays until drained.
      if (i % 50 === 0) void (await openHttp1(t, door, 'localhost')).get();
    }
    await volume.update(secretOf(last));
    await log(({ event, to }) => event === 'rotation' && to === last.fingerprint256);
    await until('every connection has left', async () => (await swivel.status()).connections.open === 0);
  };
  const look = async () => ({ ...(await holdingsOf(swivel.process)), ...(await footprint(swivel.process)) });
  const grownLittle = (before: Holdings, after: Holdings, what: string) => {
    const heap = after.heapBytes - before.heapBytes;
    const resident = after.residentBytes - before.residentBytes;
    t.diagnostic(`${what}: heap ${Math.round(heap / 1024)} KiB, resident ${Math.round(resident / 1024)} KiB more`);
    assert.ok(heap < 2 * mebibyte, `the heap grew by ${heap} bytes`);
    assert.ok(resident < 16 * mebibyte, `the process grew by ${resident} bytes`);
  };

  await rotate(100);
  const early = await look();
  await rotate(400);
  const middle = await look();

  await t.test('the second 500 rotations add nothing to what the first 500 took', async () => {
    await rotate(500);
    const late = await look();
    grownLittle(middle, late, '500 rotations');
    assert.equal(late.contexts, early.contexts);
    noMoreThan(early, late);
    const { rotations, generation } = await swivel.status();
    assert.ok(generation >= 1004);
    assert.ok(rotations.length < 100, 'the list of rotations is bounded');
  });

  await t.test('no context of an earlier generation is kept', () => {
    // One that serves, one that is the default of the listener, three and one for both sides of handshakes with itself, and perhaps
    // the one that was made to count them.
    assert.ok(early.contexts <= 7, `${early.contexts} contexts`);
  });

  await t.test('a storm ends on the last state', async () => {
    const before = await look();
    const storm = [
      (leaf: Leaf) => volume.update(secretOf(leaf)),
      (leaf: Leaf) => writeAtomically(join(base, 'other.pem'), leaf.keyPem + leaf.chainPem),
    ];
    for (let i = 0; i < 2000; i += 1) {
      await storm[i % 2]?.(leaves[i % leaves.length] as Leaf);
      await pause(1);
    }
    const final = await authority.issueMany([{}, { names: ['other.test'] }]);
    await storm[0]?.(final[0] as Leaf);
    await storm[1]?.(final[1] as Leaf);
    await log(({ event, to }) => event === 'rotation' && to === final[0]?.fingerprint256);
    await until(
      'the last one is served',
      async () => (await shownTo({ port: swivel.port }, 'other.test')) === final[1]?.fingerprint256,
    );
    assert.equal(await shownTo(door, 'localhost'), final[0]?.fingerprint256);
    const { certificates } = await swivel.status();
    for (const { id, state, diskMatchesServed, lastError } of certificates) {
      assert.deepEqual([state, diskMatchesServed, lastError], ['serving', true, null], id);
    }
    const after = await look();
    grownLittle(before, after, 'the storm');
    assert.ok(after.contexts <= before.contexts + 1, 'one more identity, one more context');
    noMoreThan(before, after);
  });
});

test('rotations leave nothing behind in a primary and its workers', bounded, async (t) => {
  const authority = await createAuthority();
  const leaves = await authority.issueMany(Array.from({ length: 20 }, () => ({})));
  const base = await temporaryDirectory(t);
  const volume = new KubernetesVolume(base);
  await volume.updateLeaf(leaves[0] as Leaf);
  const upstream = await startHeldUpstream(t);
  const config = { drain: { timeout: '1s', spread: '100ms' }, workers: 2, process: { inspect: true } };
  const swivel = await startSwivel(t, { certs: base, upstream: upstream.url, config, env: inspectable });
  const log = swivel.process.follow();
  const rotate = async (times: number) => {
    for (let i = 1; i <= times; i += 1) {
      const leaf = leaves[i % leaves.length] as Leaf;
      await volume.updateLeaf(leaf);
      await log(({ event, to }) => event === 'rotation' && to === leaf.fingerprint256);
      if (i % 20 === 10)
        void (await openHttp1(t, { port: swivel.port, ca: authority.certificatePem }, 'localhost')).get();
    }
    await until('every connection has left', async () => (await swivel.status()).connections.open === 0);
  };
  await rotate(100);
  const before = await holdingsOfAll(swivel.process, 3);
  await rotate(300);
  const after = await holdingsOfAll(swivel.process, 3);
  for (const [i, process] of ['the primary', 'a worker', 'a worker'].entries()) {
    const [early, late] = [before[i] as Holdings, after[i] as Holdings];
    const heap = late.heapBytes - early.heapBytes;
    t.diagnostic(`${process}: ${late.contexts} contexts, heap ${Math.round(heap / 1024)} KiB more`);
    assert.ok(heap < 2 * mebibyte, `the heap of ${process} grew by ${heap} bytes`);
    assert.ok(late.contexts <= early.contexts + 1 && late.contexts <= 7, `${late.contexts} contexts in ${process}`);
    assert.ok(late.timers <= early.timers + 5, `${late.timers} timers in ${process}, up from ${early.timers}`);
  }
});
