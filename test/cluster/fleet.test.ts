import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { SwivelError } from '../../src/errors.ts';
import { freshIdentity } from '../tls/support/identities.ts';
import { quiet } from './support/post.ts';
import { contentsOf, type Scene, type SceneOptions, scene, timers } from './support/scene.ts';

const a = await freshIdentity('a');
const renewed = await freshIdentity('a');

async function serving(t: TestContext, size: number, options: SceneOptions = {}): Promise<Scene> {
  const made = scene(t, { size, ...options });
  await made.publish(a);
  await made.open();
  return made;
}

const ids = ({ fleet }: Scene) => fleet.workers.map(({ id }) => id);
const states = ({ fleet }: Scene) => fleet.workers.map(({ state }) => state);

test('as many workers serve as asked for, each with its configuration and the sockets, and no more later on', async (t) => {
  const sockets = [{ port: 1 }, { port: 2 }];
  const s = scene(t, { size: 3 });
  await s.publish(a);
  await s.open(...sockets);
  assert.deepEqual(states(s), ['serving', 'serving', 'serving']);
  for (const [i, process] of s.processes.entries()) {
    assert.deepEqual(process.configurations, [{ worker: i + 1 }]);
    assert.deepEqual(process.sockets, sockets);
    assert.equal(process.openedAt?.number, 1);
    assert.deepEqual(process.calls.slice(0, 2), ['begin', 'configure']);
  }
  await s.beat(50);
  assert.equal(s.processes.length, 3);
});

test('nothing is told to a worker before it is opened, and nothing secret before it has given up privileges', async (t) => {
  const s = scene(t, { size: 1, prepare: (process) => process.hang() });
  await s.publish(a);
  s.fleet.start();
  await quiet();
  assert.deepEqual(s.process(1).calls, []);
  s.process(1).failsIn = { begin: new SwivelError('PRIVILEGES_KEPT', 'user 0 it is still') };
  const opened = s.fleet.open([]);
  s.process(1).resume();
  await quiet();
  assert.deepEqual(s.process(1).calls, ['begin']);
  s.fleet.close();
  await assert.rejects(opened, { code: 'SHUTTING_DOWN' });
});

test('one that had served is replaced at once; the next has all that others learned, and the level of the log', async (t) => {
  const s = await serving(t, 2);
  s.process(1).toPrimary.send({ call: 'learned', argument: [new Uint8Array([1, 2])] });
  s.process(2).toPrimary.send({ call: 'learned', argument: [new Uint8Array([1, 2]), new Uint8Array([3])] });
  s.fleet.setLogLevel('error');
  await quiet();
  assert.deepEqual([s.process(1).learned.length, s.process(2).learned.length], [1, 1]);
  s.process(1).kill('SIGKILL');
  await quiet();
  assert.deepEqual(ids(s), [2, 3]);
  assert.deepEqual(states(s), ['serving', 'serving']);
  assert.equal(s.process(3).learned.length, 2);
  assert.deepEqual(s.process(3).levels, ['error']);
  assert.deepEqual(s.gone, [{ id: 1, died: true }]);
  const [line] = s.logged('WORKER_DIED');
  assert.deepEqual([line?.['how'], line?.['replacedInMs']], ['signal SIGKILL', 0]);
});

test('those that die before they serve are tried again later and later, and forgotten once one serves', async (t) => {
  let works = true;
  const s = await serving(t, 2, {
    prepare: (process) => {
      if (!works) process.trouble = { method: 'begin', when: 'before', what: 'die' };
    },
  });
  works = false;
  s.process(1).kill('SIGKILL');
  await s.beat(120);
  const tried = s.processes.length - 2;
  assert.ok(tried >= 5 && tried <= 12, `${tried} within a minute`);
  assert.deepEqual(states(s).filter((state) => state === 'serving').length, 1);
  works = true;
  await s.beat(120);
  assert.deepEqual(states(s), ['serving', 'serving']);
});

test('at start it is given up with the reason when none gets to serve', async (t) => {
  const kept = new SwivelError('PRIVILEGES_KEPT', 'a group is left');
  const s = scene(t, {
    size: 2,
    prepare: (process) => {
      process.failsIn = { begin: kept };
    },
  });
  s.fleet.start();
  const opened = assert.rejects(s.fleet.open([]), { code: 'PRIVILEGES_KEPT', message: 'a group is left' });
  await s.beat(4);
  await opened;
});

test('at start it is given up when processes end before they can say anything, or cannot be started at all', async (t) => {
  await t.test('they end', async (one) => {
    const dies = { method: 'begin', when: 'before', what: 'die' } as const;
    const s = scene(one, { size: 1, prepare: (process) => Object.assign(process, { trouble: dies }) });
    s.fleet.start();
    const opened = assert.rejects(s.fleet.open([]), { code: 'WORKERS_FAILED', message: /worker 3 ended with signal/ });
    await s.beat(4);
    await opened;
  });
  await t.test('they cannot be started', async (one) => {
    const s = scene(one, {
      size: 1,
      spawn: () => {
        throw new Error('spawn ENOMEM');
      },
    });
    s.fleet.start();
    const opened = assert.rejects(s.fleet.open([]), { code: 'WORKERS_FAILED', message: /ENOMEM/ });
    await s.beat(4);
    await opened;
  });
});

test('a process that cannot be started for a while is started later, and the primary lives on', async (t) => {
  let refusals = 0;
  const s = await serving(t, 2, {
    prepare: () => {
      refusals -= 1;
      if (refusals >= 0) throw new Error('spawn EAGAIN');
    },
  });
  refusals = 2;
  s.process(1).kill('SIGKILL');
  await quiet();
  assert.deepEqual(states(s), ['serving']);
  await s.beat(3);
  assert.deepEqual(states(s), ['serving', 'serving']);
  assert.equal(s.logged('INTERNAL').length, 2);
});

test('one that dies at start while others serve is no reason to give up', async (t) => {
  const s = scene(t, {
    size: 2,
    prepare: (process, id) => {
      if (id === 1) process.trouble = { method: 'configure', when: 'after', what: 'die' };
    },
  });
  await s.publish(a);
  s.fleet.start();
  const opened = s.fleet.open([]);
  await s.beat(2);
  await opened;
  assert.deepEqual(ids(s), [2, 3]);
  assert.deepEqual(states(s), ['serving', 'serving']);
});

test('one of a version that cannot be talked to is refused, and told to be of that version', async (t) => {
  const s = await serving(t, 1, { version: () => '9.9.9' });
  const next = await s.replaced(1);
  next.toPrimary.intercept = (message) => {
    const result = message['result'] as { protocol?: number } | undefined;
    if (result?.protocol !== undefined) Object.assign(result, { protocol: 99 });
    return 'arrives';
  };
  await quiet();
  const [line] = s.logged('WORKER_INCOMPATIBLE');
  assert.match(String(line?.['msg']), /worker 2 is of version 9\.9\.9/);
  assert.equal(next.alive, false);
});

test('a restart replaces one after another, and never are there fewer than there should be', async (t) => {
  let version = '1.0.0';
  const s = await serving(t, 3, { version: () => version });
  version = '1.0.1';
  let fewest = 99;
  for (const process of s.processes) {
    const gate = Promise.withResolvers<void>();
    process.gates.drain = gate.promise;
  }
  const watched = () => states(s).filter((state) => state === 'serving').length;
  const restarted = s.fleet.restart();
  assert.equal(s.fleet.restart(), restarted, 'one at a time');
  for (let i = 0; i < 200; i += 1) {
    fewest = Math.min(fewest, watched());
    await turn();
  }
  assert.deepEqual(await restarted, [
    { old: 1, new: 4, version: '1.0.1' },
    { old: 2, new: 5, version: '1.0.1' },
    { old: 3, new: 6, version: '1.0.1' },
  ]);
  assert.equal(fewest, 3);
  // Those that leave still drain, and get what is published.
  assert.deepEqual(states(s), ['leaving', 'leaving', 'leaving', 'serving', 'serving', 'serving']);
  await s.publish(renewed);
  for (const process of s.alive) assert.deepEqual(contentsOf(process.store), contentsOf(s.store));
  for (const process of s.processes.slice(0, 3)) process.kill('SIGKILL');
  await s.beat(2);
  assert.deepEqual(ids(s), [4, 5, 6]);
  assert.equal(s.processes.length, 6);
  assert.deepEqual(
    s.gone.map(({ died }) => died),
    [false, false, false],
    'who was told to leave did not die',
  );
});

test('a restart whose first new worker fails leaves the old ones, and says why', async (t) => {
  let works = true;
  const s = await serving(t, 2, {
    prepare: (process) => {
      if (!works) process.failsIn = { begin: new SwivelError('PRIVILEGES_KEPT', 'not today') };
    },
  });
  works = false;
  await assert.rejects(s.fleet.restart(), {
    code: 'WORKERS_FAILED',
    message: 'worker 3 was to take the place of worker 1: not today',
  });
  await s.beat(2);
  assert.deepEqual(ids(s), [1, 2]);
  assert.deepEqual(states(s), ['serving', 'serving']);
  works = true;
  assert.equal((await s.fleet.restart()).length, 2);
  assert.equal(states(s).filter((state) => state === 'serving').length, 2);
});

test('when the old one dies while its successor starts, there is not one too many', async (t) => {
  const gate = Promise.withResolvers<void>();
  const s = await serving(t, 2, {
    prepare: (process, id) => {
      if (id === 3) process.gates.open = gate.promise;
    },
  });
  const restarted = s.fleet.restart();
  await quiet();
  assert.equal(s.process(3).count('listen'), 1);
  s.process(1).kill('SIGKILL');
  await quiet();
  gate.resolve();
  await restarted;
  await s.beat(2);
  assert.equal(s.alive.length, 2);
  assert.deepEqual(states(s), ['serving', 'serving']);
});

test('when both the old one and its successor die, both places are filled', async (t) => {
  const gate = Promise.withResolvers<void>();
  const s = await serving(t, 2, {
    prepare: (process, id) => {
      if (id === 3) process.gates.open = gate.promise;
    },
  });
  const failed = assert.rejects(s.fleet.restart(), { code: 'WORKERS_FAILED' });
  await quiet();
  s.process(1).kill('SIGKILL');
  s.process(3).kill('SIGKILL');
  await failed;
  await s.beat(4);
  assert.deepEqual(states(s), ['serving', 'serving']);
  assert.equal(s.alive.length, 2);
});

test('a worker that was asked to end gets a successor first, once, however often it asks', async (t) => {
  const s = await serving(t, 2);
  for (let i = 0; i < 3; i += 1) s.process(1).worker.askToBeReplaced();
  await quiet();
  assert.deepEqual(ids(s), [2, 3]);
  assert.equal(s.processes.length, 3);
});

test('asking to be replaced is nothing any more for one that drains already, or has ended', async (t) => {
  const s = await serving(t, 2);
  const gate = Promise.withResolvers<void>();
  s.process(1).gates.drain = gate.promise;
  s.process(1).worker.askToBeReplaced();
  await quiet();
  s.process(1).worker.askToBeReplaced();
  await s.beat(2);
  assert.equal(s.processes.length, 3);
  gate.resolve();
  await quiet();
  s.process(2).kill('SIGKILL');
  await quiet();
  s.process(2).sayAfterwards({ call: 'replaceMe', argument: null });
  await s.beat(4);
  assert.equal(s.alive.length, 2);
});

test('when a successor asks to be replaced itself, and fails, there is not one too many', async (t) => {
  const s = await serving(t, 2);
  const failed = assert.rejects(s.fleet.restart(), { code: 'WORKERS_FAILED' });
  const successor = s.process(3);
  successor.failsIn.prepare = new Error('no memory');
  successor.worker.askToBeReplaced();
  await failed;
  await s.beat(3);
  assert.deepEqual(states(s), ['serving', 'serving']);
});

test('a worker that stays silent is killed and replaced', async (t) => {
  const s = await serving(t, 2);
  s.process(1).hang();
  await s.beat(19);
  assert.equal(s.process(1).alive, true);
  await s.beat(2);
  assert.equal(s.process(1).alive, false);
  assert.equal(s.logged('WORKER_SILENT').length, 1);
  assert.deepEqual(ids(s), [2, 3]);
});

test('that others were silent means nothing when it was the primary that was suspended', async (t) => {
  const s = await serving(t, 2);
  let now = performance.now();
  t.mock.method(performance, 'now', () => now);
  s.process(1).hang();
  for (let i = 0; i < 40; i += 1) {
    now += 60_000;
    await s.beat();
  }
  assert.deepEqual(ids(s), [1, 2]);
  assert.equal(s.fleet.inSync, true);
  for (let i = 0; i < 21; i += 1) {
    now += 500;
    await s.beat();
  }
  assert.deepEqual(ids(s), [2, 3]);
});

test('a worker that gives signs of life and yet stays behind is replaced, and asked for again should that fail', async (t) => {
  let works = true;
  const s = await serving(t, 2, {
    prepare: (process) => {
      if (!works) process.trouble = { method: 'begin', when: 'before', what: 'die' };
    },
  });
  s.process(1).gates.prepare = new Promise(() => {});
  // It does not answer, so the publication would wait for it; it is silent for as long as that takes.
  const published = s.publish(renewed);
  await quiet();
  s.process(1).toPrimary.hold();
  await s.beat(4);
  await published;
  s.process(1).toPrimary.resume();
  works = false;
  await s.beat(21);
  assert.ok(s.processes.length > 2, 'a successor was tried');
  assert.equal(s.process(1).alive, true, 'it stays until there is one');
  works = true;
  await s.beat(21);
  assert.equal(s.fleet.workers.find(({ id }) => id === 1)?.state ?? 'gone', 'gone');
  assert.deepEqual(states(s), ['serving', 'serving']);
  assert.equal(s.fleet.inSync, true);
});

test('a stop drains all, counts what was cut, and starts nobody anew', async (t) => {
  const s = await serving(t, 3);
  const gate = Promise.withResolvers<void>();
  s.process(3).gates.drain = gate.promise;
  const stopped = s.fleet.stop();
  await quiet();
  assert.deepEqual(ids(s), [3]);
  gate.resolve();
  assert.deepEqual(await stopped, { cut: 3 });
  await s.beat(3);
  assert.deepEqual([s.alive.length, s.processes.length], [0, 3]);
  assert.deepEqual(s.logged('WORKER_DIED'), []);
});

test('nobody is told to stop before all accept nothing more, but who gives no sign of life', async (t) => {
  const s = await serving(t, 3);
  const gate = Promise.withResolvers<void>();
  s.process(2).gates.close = gate.promise;
  s.process(3).hang();
  const stopped = s.fleet.stop();
  await quiet();
  const stops = () => s.processes.map((process) => process.count('stop'));
  assert.deepEqual([s.process(1).count('stopAccepting'), stops()], [1, [0, 0, 0]]);
  gate.resolve();
  await quiet();
  assert.deepEqual(stops(), [0, 0, 0]);
  await s.beat(4);
  await quiet();
  assert.deepEqual(stops(), [1, 1, 0]);
  s.process(3).kill('SIGKILL');
  assert.deepEqual(await stopped, { cut: 2 });
});

test('a stop kills what hangs once its time is over, and what starts at once', async (t) => {
  const s = await serving(t, 2, { stopTimeout: 3000 });
  s.process(1).hang();
  // It is loading its program still.
  (await s.replaced(2)).hang();
  assert.deepEqual(states(s), ['serving', 'starting']);
  const stopped = s.fleet.stop();
  await quiet();
  assert.deepEqual(ids(s), [1]);
  await s.beat(5);
  assert.deepEqual(ids(s), [1]);
  await s.beat(1);
  assert.deepEqual(await stopped, { cut: 0 });
  assert.equal(s.alive.length, 0);
});

test('a stop in the middle of a restart ends both', async (t) => {
  const s = await serving(t, 2);
  const gate = Promise.withResolvers<void>();
  s.process(1).gates.drain = gate.promise;
  const restarted = s.fleet.restart().then(
    () => 'done',
    (error: SwivelError) => error.code,
  );
  while (s.fleet.workers[0]?.state !== 'leaving') await turn();
  const stopped = s.fleet.stop();
  await quiet();
  gate.resolve();
  const { cut } = await stopped;
  // Of the one that left when it was told to stop, the answer to the latter is still heard.
  assert.equal(cut, 3);
  assert.match(await restarted, /WORKERS_FAILED|SHUTTING_DOWN|done/);
  await s.beat(3);
  assert.equal(s.alive.length, 0);
});

test('what a stop still waits for can be cut: who is silent is killed', async (t) => {
  const s = await serving(t, 2);
  const gate = Promise.withResolvers<void>();
  for (const process of s.processes) process.gates.drain = gate.promise;
  s.process(2).hang();
  await s.beat(4);
  const stopped = s.fleet.stop();
  await quiet();
  s.fleet.abandon();
  await quiet();
  assert.deepEqual([s.process(1).abandoned, s.process(2).alive], [true, false]);
  gate.resolve();
  assert.deepEqual(await stopped, { cut: 2 });
});

test('nothing is left after a stop, nor after it was closed in the middle of trying again', async (t) => {
  for (const how of ['stop', 'close'] as const) {
    await t.test(how, async (one) => {
      let works = true;
      const s = await serving(one, 2, {
        prepare: (process) => {
          if (!works) process.trouble = { method: 'begin', when: 'before', what: 'die' };
        },
      });
      works = false;
      s.process(1).kill('SIGKILL');
      await s.beat(3);
      // One in backoff, and another that is to be replaced at once.
      s.process(2).kill('SIGKILL');
      await quiet();
      if (how === 'stop') await s.fleet.stop();
      else s.fleet.close();
      await quiet();
      assert.equal(s.alive.length, 0);
      assert.deepEqual(timers.size, 0);
      s.fleet.close();
    });
  }
});

test('a fault in what a worker tells is logged, and ends nothing', async (t) => {
  const s = await serving(t, 1, {
    observed: () => {
      throw new Error('cannot count that');
    },
  });
  s.process(1).toPrimary.send({ call: 'observed', argument: [] });
  s.process(1).toPrimary.send({ call: 'constructor', argument: null });
  s.process(1).toPrimary.send('no message at all');
  await quiet();
  assert.deepEqual(
    s.logged('INTERNAL').map((line) => line['msg']),
    ['cannot count that', 'there is no method constructor'],
  );
  await s.publish(renewed);
  assert.equal(s.process(1).store.current.number, 2);
});

test('summaries are of all who answer', async (t) => {
  const s = await serving(t, 3);
  s.process(2).hang();
  await s.beat(4);
  assert.deepEqual(
    (await s.fleet.summaries()).map(({ open }) => open),
    [1001, 1003],
  );
});

test('a worker that gives signs of life and never gets to serve is given up, and with it who waits for it', async (t) => {
  let works = false;
  const s = await serving(t, 2, {
    prepare: (process, id) => {
      if (id > 2 && !works) process.gates.open = new Promise(() => {});
    },
  });
  const restarted = assert.rejects(s.fleet.restart(), { code: 'WORKERS_FAILED' });
  await s.beat(230);
  assert.deepEqual(ids(s), [1, 2, 3]);
  works = true;
  await s.beat(20);
  await restarted;
  assert.deepEqual(ids(s), [1, 2]);
});

test('one that is told to stop while it begins to listen does not count as serving afterwards', async (t) => {
  const gates = { open: Promise.withResolvers<void>(), drain: Promise.withResolvers<void>() };
  const s = scene(t, {
    size: 1,
    prepare: (process) => {
      process.gates = { open: gates.open.promise, drain: gates.drain.promise };
    },
  });
  await s.publish(a);
  s.fleet.start();
  s.fleet.open([]).catch(() => {});
  await quiet();
  assert.deepEqual(states(s), ['joining']);
  const stopped = s.fleet.stop();
  gates.open.resolve();
  await quiet();
  assert.deepEqual(states(s), ['leaving']);
  gates.drain.resolve();
  assert.deepEqual(await stopped, { cut: 1 });
});
