import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { Ballot } from '../../src/cluster/distribution.ts';
import { freshIdentity } from '../tls/support/identities.ts';
import { drainedEach, type FakeProcess } from './support/fake-process.ts';
import { quiet } from './support/post.ts';
import { contentsOf, type Scene, type SceneOptions, scene } from './support/scene.ts';

const a = await freshIdentity('a');
const renewed = await freshIdentity('a');
const third = await freshIdentity('a');
const b = await freshIdentity('b');

/** Workers that serve `a`. */
async function serving(t: TestContext, size: number, options: SceneOptions = {}): Promise<Scene> {
  const made = scene(t, { size, ...options });
  await made.publish(a);
  await made.open();
  return made;
}

/** Asserts that everybody who runs serves what the primary holds. */
function assertTogether({ alive, store, fleet }: Scene): void {
  for (const process of alive) assert.deepEqual(contentsOf(process.store), contentsOf(store));
  assert.equal(fleet.inSync, true);
}

const numbers = (processes: readonly FakeProcess[]) => processes.map(({ store }) => store.current.number);

test('nobody serves a generation before everybody has built it', async (t) => {
  const s = await serving(t, 3);
  const gate = Promise.withResolvers<void>();
  s.process(2).gates.prepare = gate.promise;
  const preparing = s.prepare([renewed]);
  await quiet();
  assert.deepEqual([s.process(1).count('prepare'), s.process(3).count('prepare')], [2, 2]);
  assert.deepEqual(numbers(s.processes), [1, 1, 1]);
  gate.resolve();
  const publication = await preparing;
  await quiet();
  assert.deepEqual(numbers(s.processes), [1, 1, 1]);
  const drained = await publication.commit();
  assert.deepEqual(numbers(s.processes), [2, 2, 2]);
  assert.deepEqual(drained, new Map([[a.fingerprint, 3 * drainedEach]]));
  assertTogether(s);
});

test('a worker that cannot prepare makes it an abort everywhere; what is published next is served by all', async (t) => {
  const s = await serving(t, 3);
  s.process(2).failsIn.prepare = new Error('out of memory');
  await assert.rejects(s.prepare([renewed]), (error: Error & { code?: string }) => {
    assert.equal(error.code, 'WORKER_REFUSED');
    assert.match(error.message, /worker 2: out of memory/);
    return true;
  });
  await quiet();
  assert.deepEqual(numbers([...s.processes]), [1, 1, 1]);
  assert.deepEqual([s.process(1).count('abort'), s.process(3).count('abort')], [1, 1]);
  s.process(2).failsIn.prepare = undefined;
  await s.publish(third);
  await s.beat();
  assertTogether(s);
  assert.equal(s.process(2).store.current.served.get('a')?.identity.fingerprint, third.fingerprint);
  assert.equal(s.processes.length, 3);
});

test('a worker that goes on failing to prepare does not keep the others from what is new, and is replaced', async (t) => {
  const s = await serving(t, 3);
  s.process(2).failsIn.prepare = new Error('broken');
  await assert.rejects(s.prepare([renewed]), { code: 'WORKER_REFUSED' });
  await s.publish(renewed);
  await s.beat();
  assert.equal(s.process(2).alive, false);
  assert.equal(s.alive.length, 3);
  assertTogether(s);
});

test('what a worker cannot serve is told with the publication, and an abort leaves everything as it was', async (t) => {
  const s = await serving(t, 2);
  s.process(2).refuses = new Set(['b']);
  const publication = await s.prepare([renewed, b]);
  assert.deepEqual(
    publication.failures.map(({ identity }) => identity),
    ['b'],
  );
  publication.abort();
  await quiet();
  assert.deepEqual(numbers(s.processes), [1, 1]);
  await s.publish(renewed);
  assertTogether(s);
});

test('only what changed travels', async (t) => {
  const many = Array.from({ length: 200 }, (_, i) => ({ ...b, id: `b${i}`, names: [`b${i}.test`] }));
  const s = scene(t, { size: 2 });
  await s.publish(...many);
  await s.open();
  for (const process of s.processes) {
    assert.equal(process.delivered, 200);
    assert.ok(process.largestParcel < 200);
    process.delivered = 0;
  }
  const rest = many.slice(1);
  await s.publish({ ...renewed, id: 'b0', names: ['b0.test'] }, ...rest);
  for (const process of s.processes) assert.equal(process.delivered, 1);
  await s.publish(...rest);
  for (const process of s.processes) assert.equal(process.delivered, 1);
  assertTogether(s);
});

test('a worker that hangs holds up a publication for its beats at most, and is told to be behind', async (t) => {
  const s = await serving(t, 3);
  s.process(2).hang();
  let done = false;
  const published = s.publish(renewed).then(() => {
    done = true;
  });
  await s.beat(3);
  assert.equal(done, false);
  await s.beat();
  await published;
  assert.equal(s.fleet.inSync, false);
  assert.deepEqual(numbers(s.processes), [2, 1, 2]);
  assert.deepEqual(
    s.fleet.workers.map((worker) => s.fleet.isSilent(worker)),
    [false, true, false],
  );
  // From now on nobody waits for it.
  await s.publish(third);
  assert.deepEqual(numbers(s.processes), [3, 1, 3]);
  s.process(2).resume();
  await s.beat(2);
  assertTogether(s);
  assert.equal(s.processes.length, 3);
});

for (const method of ['prepare', 'commit'] as const) {
  for (const when of ['before', 'after'] as const) {
    test(`a worker that hangs ${when} its ${method} catches up, whatever it missed`, async (t) => {
      const s = await serving(t, 2);
      s.process(2).trouble = { method, when, what: 'hang' };
      const published = s.publish(renewed);
      await quiet();
      await s.beat(4);
      await published;
      // The worker may have what was before, or this; back to it and on to the next.
      await s.publish(a, b);
      await s.publish(third);
      s.process(2).resume();
      await s.beat(2);
      assertTogether(s);
      assert.equal(s.processes.length, 2, 'nobody was replaced');
    });
  }
}

test('what comes back as it was is not left as it was in between', async (t) => {
  const s = await serving(t, 2);
  // It serves what is renewed, and nobody hears of it before what was there before is published again.
  s.process(2).trouble = { method: 'commit', when: 'after', what: 'hang' };
  const published = s.publish(renewed, b);
  await quiet();
  await s.beat(4);
  await published;
  await s.publish(a);
  s.process(2).toWorker.resume();
  await s.beat();
  s.process(2).resume();
  await s.beat(2);
  assertTogether(s);
  assert.equal(s.processes.length, 2);
});

test('a worker that is still building what was given up finishes that first', async (t) => {
  const s = await serving(t, 2);
  const slow = s.process(2);
  const gate = Promise.withResolvers<void>();
  slow.gates.prepare = gate.promise;
  const published = s.publish(renewed);
  await quiet();
  slow.toPrimary.hold();
  await s.beat(4);
  await published;
  await s.publish(third);
  slow.toPrimary.resume();
  await s.beat(2);
  assert.equal(slow.count('prepare'), 3);
  gate.resolve();
  await s.beat();
  assertTogether(s);
  assert.equal(s.processes.length, 2);
});

test('a worker that is heard of again before its late answer comes is not taken for one that is behind', async (t) => {
  const s = await serving(t, 2);
  const late = s.process(2);
  late.trouble = { method: 'commit', when: 'before', what: 'hang' };
  const published = s.publish(renewed);
  await quiet();
  await s.beat(4);
  await published;
  // Something else is heard of it, while the commit is on its way still.
  late.toPrimary.resume();
  late.worker.askToBeReplaced();
  await turn();
  const [, worker] = s.fleet.workers;
  assert.equal(worker && s.fleet.isSilent(worker), false);
  s.fleet.sweep();
  await quiet();
  late.resume();
  await s.beat();
  assert.equal(late.store.current.number, 2);
  assert.equal(late.count('prepare'), 2, 'nothing is built twice');
  assert.deepEqual(s.logged('INTERNAL'), []);
  assert.deepEqual(s.logged('WORKER_DIED'), []);
});

test('a worker that dies in the middle does not fail what is published', async (t) => {
  for (const method of ['deliver', 'prepare', 'commit'] as const) {
    await t.test(method, async (one) => {
      const s = await serving(one, 3);
      s.process(2).trouble = { method, when: 'before', what: 'die' };
      const drained = await s.publish(renewed);
      assert.deepEqual(drained, new Map([[a.fingerprint, 2 * drainedEach]]));
      await quiet();
      assert.equal(s.alive.length, 3);
      assertTogether(s);
    });
  }
});

test('an abort that overtakes what is still being sent leaves nothing behind', async (t) => {
  const many = Array.from({ length: 200 }, (_, i) => ({ ...b, id: `b${i}`, names: [`b${i}.test`] }));
  const s = await serving(t, 2);
  const [, second] = s.fleet.workers;
  // It is given up on while parcels go out to it.
  const preparing = s.prepare([a, ...many]);
  for (let i = 0; i < 4; i += 1) second?.beat(4);
  const publication = await preparing;
  publication.abort();
  // Back again before it was told: nothing of what was given up may be served.
  await s.publish(renewed);
  await s.beat();
  assertTogether(s);
  assert.deepEqual([...s.process(2).store.current.served.keys()], ['a']);
});

test('who joins in a storm of publications begins with what is current, and ends with the last', async (t) => {
  const s = await serving(t, 2);
  // As the primary sends it: what is current may change on the way.
  const begunWith: boolean[] = [];
  const newcomer = await s.replaced(1);
  const send = newcomer.wire.send;
  newcomer.wire.send = (message, handle) => {
    if ((message as { call?: string }).call === 'listen') {
      begunWith.push(contentsOf(newcomer.store).ticketKeys === contentsOf(s.store).ticketKeys);
    }
    send(message, handle);
  };
  let storms = 0;
  while (newcomer.count('listen') === 0 && storms < 500) {
    storms += 1;
    await s.publish(storms % 2 === 0 ? a : renewed);
    // As far apart as any two are that a primary decides on.
    for (let i = 0; i < storms % 7; i += 1) await turn();
  }
  assert.deepEqual(begunWith, [true]);
  await s.publish(third);
  await quiet();
  assertTogether(s);
  assert.equal(s.alive.length, 2);
});

test('who has caught up while something is being published waits for the end of that, and begins with it', async (t) => {
  const s = await serving(t, 2);
  const [gate, gateOfNewcomer] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const newcomer = await s.replaced(2);
  newcomer.gates.prepare = gateOfNewcomer.promise;
  await quiet();
  s.process(1).gates.prepare = gate.promise;
  const publication = s.prepare([renewed]);
  await quiet();
  gateOfNewcomer.resolve();
  await quiet();
  assert.deepEqual([newcomer.count('commit'), newcomer.count('listen')], [1, 0]);
  gate.resolve();
  await (await publication).commit();
  await quiet();
  assert.equal(newcomer.openedAt?.number, 2);
  assertTogether(s);
});

test('a publication that begins in the very moment in which a worker has caught up includes it, or keeps it waiting', async (t) => {
  // Microtasks between the last answer of a worker that catches up and the beginning of a publication.
  for (let gap = 0; gap < 16; gap += 1) {
    await t.test(`${gap} steps`, async (one) => {
      const s = await serving(one, 1);
      const newcomer = await s.replaced(1);
      const begun = Promise.withResolvers<Ballot>();
      let isFirst = true;
      newcomer.toPrimary.intercept = (message) => {
        if (!isFirst || !(message['result'] instanceof Map)) return 'arrives';
        isFirst = false;
        const begin = async () => {
          for (let i = 0; i < gap; i += 1) await null;
          const { current: contents, ticketKeys } = s.store;
          return s.fleet.distribution.prepare({ contents, ticketKeys, now: 0 });
        };
        begun.resolve(begin());
        return 'arrives';
      };
      const ballot = await begun.promise;
      await quiet();
      const hasVote = newcomer.count('prepare') === 2;
      assert.ok(hasVote || newcomer.count('listen') === 0, newcomer.calls.join(' '));
      ballot.abort();
      await quiet();
      assertTogether(s);
      assert.equal(newcomer.count('listen'), 1);
    });
  }
});

test('who serves a name is decided by the same time in a worker that comes later', async (t) => {
  const s = scene(t, { size: 1 });
  const changes: number[] = [];
  await s.open().catch(() => {});
  const publication = await s.publisher.prepare(
    { identities: [a], canaries: [], bundles: [], ticketKeys: Buffer.alloc(48, 1) },
    12_345,
  );
  await publication.commit();
  const newcomer = await s.replaced(1);
  newcomer.toWorker.intercept = (message) => {
    if (message['call'] === 'prepare') changes.push((message['argument'] as { now: number }).now);
    return 'arrives';
  };
  await quiet();
  assert.deepEqual(changes, [12_345]);
});

test('connections are cut, and counted, by all who are there to do it', async (t) => {
  const s = await serving(t, 3);
  s.process(2).hang();
  await s.beat(4);
  assert.equal(await s.publisher.cut(new Set(['x', 'y'])), 4);
});
