import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { TicketKeyFileSource } from '../../src/certificates/index.ts';
import { temporaryDirectory, writeAtomically } from '../support/files.ts';
import { createAuthority } from '../support/pki.ts';
import { bounded, eventually } from '../support/swivel.ts';
import { authority, hour, materialOf } from '../tls/support/identities.ts';
import { listening, visit } from '../tls/support/listening.ts';
import { FakeSource, rotation, watching } from './support/rotation.ts';

const issuer = await authority();
const names = ['a.test'];
const [v1, v2] = await Promise.all([issuer.issue({ names }), issuer.issue({ names })]);
const [ca1, ca2] = await Promise.all([createAuthority(), createAuthority()]);
const versions = ['TLSv1.2', 'TLSv1.3'] as const;

const trust = (pem: string) => [
  { id: 'clients', source: 't', files: [{ path: '/t/ca.pem', bytes: Buffer.from(pem) }] },
];

interface ReplicaSetup {
  readonly file?: string;
  readonly now?: () => number;
  readonly lifetime?: number;
}

/** All that serves one certificate and one trust bundle, with a listener; the ticket keys from a file, if there is one. */
async function replica(t: TestContext, { file, now, lifetime = 12 * hour }: ReplicaSetup = {}) {
  const source = new FakeSource('s', materialOf('a', v1, 's'));
  const bundles = new FakeSource('t');
  bundles.bundles = trust(ca1.certificatePem);
  const keys = file === undefined ? [] : [new TicketKeyFileSource(file)];
  const rotating = rotation(t, [source, bundles, ...keys], {
    activation: { ticketKeys: { lifetime } },
    ...(now ? { now } : {}),
  });
  await rotating.reconciler.runOnce('start');
  const { port } = await listening(t, rotating.store);
  const base = { port, servername: 'a.test' };
  /** Opens a session with each version. @returns asks, perhaps another replica, which of them it resumes */
  const openSessions = async () => {
    const sessions = await Promise.all(
      versions.map(async (maxVersion) => (await visit(t, { ...base, maxVersion })).session ?? assert.fail()),
    );
    return (at = base) =>
      Promise.all(
        versions.map(async (maxVersion, i) => (await visit(t, { ...at, maxVersion, session: sessions[i] })).reused),
      );
  };
  const inSync = () => rotating.conditions.list().find(({ type }) => type === 'DiskInSync')?.status;
  return { ...rotating, source, bundles, base, openSessions, inSync };
}

const all = [true, true];
const none = [false, false];

describe('sessions', () => {
  test('are resumed after an ordinary renewal, and not after a bundle changed', bounded, async (t) => {
    const { source, bundles, reconciler, openSessions, log } = await replica(t);
    const resumed = await openSessions();
    source.identities = [materialOf('a', v2, 's')];
    await reconciler.runOnce('event');
    assert.deepEqual(await resumed(), all);
    bundles.bundles = trust(ca2.certificatePem);
    await reconciler.runOnce('event');
    assert.deepEqual(await resumed(), none);
    assert.deepEqual(
      log.of('ticket-keys').map(({ source: from, cause }) => [from, cause]),
      [['made', 'trust']],
    );
  });

  test('are not resumed once the schedule renewed the keys, which nothing else has to wake', bounded, async (t) => {
    let clock = Date.now();
    const { reconciler, log, openSessions, store, metrics } = await replica(t, { now: () => clock, lifetime: hour });
    const started = clock;
    assert.equal(reconciler.ticketKeys.renewAt, null);
    t.mock.timers.enable({ apis: ['setTimeout'] });
    reconciler.follow(watching(t, log, { mode: 'off' }));
    await reconciler.runOnce('event');
    const resumed = await openSessions();
    assert.equal(reconciler.ticketKeys.renewAt, new Date(started + hour).toISOString());
    clock += hour - 1;
    t.mock.timers.tick(hour - 1);
    await reconciler.runOnce('event');
    assert.deepEqual([await resumed(), store.current.number], [all, 1]);
    clock += 1;
    t.mock.timers.tick(1);
    await eventually(() => store.current.number === 2);
    assert.deepEqual(await resumed(), none);
    assert.deepEqual(
      log.of('ticket-keys').map(({ source, cause, id }) => [source, cause, id]),
      [['made', 'schedule', reconciler.ticketKeys.id]],
    );
    assert.equal(reconciler.ticketKeys.renewAt, new Date(started + 2 * hour).toISOString());
    const { values } = await metrics.ticketKeysRenewed.get();
    assert.ok((values[0]?.value ?? 0) >= Math.floor(started / 1000));
    // Nothing rotated and nothing is to be drained.
    assert.equal(log.of('rotation').length, 0);
  });

  test('are resumed by another replica with the same file, until only one has the next key', bounded, async (t) => {
    const directory = await temporaryDirectory(t);
    const [one, other] = [join(directory, 'one.key'), join(directory, 'other.key')];
    const [k1, k2] = [randomBytes(80), randomBytes(80)];
    // Each in the format of another program.
    const haproxy = (...keys: Buffer[]) => keys.map((key) => `${key.toString('base64')}\n`).join('');
    await writeFile(one, k1);
    await writeFile(other, haproxy(randomBytes(80), k1, k2));
    const [a, b] = [await replica(t, { file: one }), await replica(t, { file: other })];
    const resumed = await a.openSessions();
    assert.deepEqual([await resumed(), await resumed(b.base)], [all, all]);
    assert.equal(a.reconciler.ticketKeys.id, b.reconciler.ticketKeys.id);
    await writeAtomically(other, haproxy(k1, k2, randomBytes(80)));
    await b.reconciler.runOnce('event');
    assert.deepEqual([await resumed(), await resumed(b.base)], [all, none]);
    await writeAtomically(one, k2);
    await a.reconciler.runOnce('event');
    assert.deepEqual(await (await b.openSessions())(a.base), all);
  });

  test('are not resumed by a replica with the same file and another bundle', bounded, async (t) => {
    const file = join(await temporaryDirectory(t), 'ticket.key');
    await writeFile(file, randomBytes(48));
    const [a, b] = [await replica(t, { file }), await replica(t, { file })];
    b.bundles.bundles = trust(ca2.certificatePem);
    await b.reconciler.runOnce('event');
    const resumed = await a.openSessions();
    assert.deepEqual([await resumed(), await resumed(b.base)], [all, none]);
    const causes = b.log.of('ticket-keys').map(({ cause }) => cause);
    assert.deepEqual(causes, ['trust']);
  });
});

describe('a file of ticket keys', { concurrency: true }, () => {
  test('is watched like any other, and a new key is in effect when it is logged', bounded, async (t) => {
    const file = join(await temporaryDirectory(t), 'ticket.key');
    await writeFile(file, randomBytes(48));
    const { reconciler, log, openSessions } = await replica(t, { file });
    const watch = watching(t, log);
    reconciler.follow(watch);
    const resumed = await openSessions();
    const before = reconciler.ticketKeys.id;
    await writeAtomically(file, randomBytes(48));
    const line = await log.until('ticket-keys');
    assert.deepEqual([line['source'], line['cause'], line['id']], [file, 'file', reconciler.ticketKeys.id]);
    assert.notEqual(line['id'], before);
    assert.deepEqual(await resumed(), none);
  });

  test(
    'that breaks leaves the last good key in use, and the reason is in status, condition and log',
    bounded,
    async (t) => {
      const file = join(await temporaryDirectory(t), 'ticket.key');
      const key = randomBytes(80);
      await writeFile(file, key);
      const { reconciler, log, openSessions, inSync, store } = await replica(t, { file });
      const resumed = await openSessions();
      for (const broken of [Buffer.alloc(0), key.subarray(0, 79), Buffer.from('junk')]) {
        await writeAtomically(file, broken);
        const { failures } = await reconciler.runOnce('api');
        assert.deepEqual(
          failures.map(({ code }) => code),
          ['TICKET_KEYS_INVALID'],
        );
        const { source, diskMatchesServed, lastError } = reconciler.ticketKeys;
        assert.deepEqual(
          [source, diskMatchesServed, lastError?.code, inSync()],
          [file, false, 'TICKET_KEYS_INVALID', 'False'],
        );
      }
      assert.deepEqual([await resumed(), store.current.number], [all, 1]);
      assert.ok(log.of('rejected').every(({ code }) => code === 'TICKET_KEYS_INVALID'));
      await writeAtomically(file, key);
      await reconciler.runOnce('api');
      assert.deepEqual([await resumed(), reconciler.ticketKeys.diskMatchesServed, inSync()], [all, true, 'True']);
      assert.equal(log.of('recovered').length, 1);
    },
  );

  test('that is not there at start is told, and taken when it comes', bounded, async (t) => {
    const file = join(await temporaryDirectory(t), 'ticket.key');
    const { reconciler, log, inSync, store, openSessions } = await replica(t, { file });
    assert.deepEqual(
      [store.current.served.size, reconciler.ticketKeys.source, inSync(), log.lines.map(({ code }) => code)],
      [1, 'made', 'False', ['SOURCE_MISSING']],
    );
    const resumed = await openSessions();
    assert.deepEqual(await resumed(), all);
    await writeAtomically(file, randomBytes(48));
    await reconciler.runOnce('event');
    assert.deepEqual([reconciler.ticketKeys.source, inSync(), await resumed()], [file, 'True', none]);
  });

  test('is departed from after a compromise, with one warning, until it changes', bounded, async (t) => {
    const file = join(await temporaryDirectory(t), 'ticket.key');
    await writeFile(file, randomBytes(48));
    const [a, b] = [await replica(t, { file }), await replica(t, { file })];
    const resumed = await b.openSessions();
    assert.deepEqual(await resumed(a.base), all);
    await a.reconciler.runOnce('api', { compromised: ['a'] });
    for (const trigger of ['event', 'resync', 'api'] as const) await a.reconciler.runOnce(trigger);
    assert.deepEqual([await resumed(a.base), a.store.current.number], [none, 2]);
    const warned = () => a.log.of('warning').filter(({ code }) => code === 'TICKET_KEYS_COMPROMISED').length;
    assert.deepEqual([warned(), a.reconciler.ticketKeys.diskMatchesServed], [1, false]);
    await writeAtomically(file, randomBytes(48));
    for (const { reconciler } of [a, b]) await reconciler.runOnce('event');
    assert.deepEqual(await (await b.openSessions())(a.base), all);
    assert.deepEqual([warned(), a.reconciler.ticketKeys.diskMatchesServed], [1, true]);
  });

  test('comes out nowhere: not in the log, not in status', bounded, async (t) => {
    const file = join(await temporaryDirectory(t), 'ticket.key');
    const keys = [randomBytes(48), randomBytes(80)];
    const { reconciler, log, store } = await replica(t, { file });
    const effective: Buffer[] = [store.ticketKeys];
    for (const [i, key] of keys.entries()) {
      await writeAtomically(file, i === 0 ? key : `${key.toString('base64')}\nrest`);
      await reconciler.runOnce('api', { compromised: ['a'] });
      await writeAtomically(file, key);
      await reconciler.runOnce('api');
      effective.push(store.ticketKeys);
    }
    const shown = log.text + JSON.stringify(reconciler.ticketKeys) + JSON.stringify(reconciler.sources);
    for (const key of [...keys, ...effective]) {
      for (const encoding of ['base64', 'hex', 'latin1'] as const) {
        assert.ok(!shown.includes(key.toString(encoding).slice(0, 20)));
      }
    }
    assert.ok(log.of('ticket-keys').length >= 2);
  });
});
