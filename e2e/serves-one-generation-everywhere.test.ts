import assert from 'node:assert/strict';
import { mkdir, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { SecureVersion } from 'node:tls';
import { type Presenter, present } from '../test/proxy/support/mutual.ts';
import { temporaryDirectory, writeAtomically, writePair } from '../test/support/files.ts';
import { createAuthority, type Leaf } from '../test/support/pki.ts';
import { startMutual } from './support/client-certificates.ts';
import { type KeepAlive, openHttp1, shownTo } from './support/clients.ts';
import { startHeldUpstream } from './support/held-upstream.ts';
import { serviceOf } from './support/modest-load.ts';
import { cpuMsOf } from './support/process-facts.ts';
import { curl, curlDistrusts, openssl } from './support/real-clients.ts';
import { bounded, type RunningSwivel, runSwivel, startSwivel } from './support/swivel.ts';
import { patience, until } from './support/until.ts';
import { accessLog, servingWorkers, uniquePath, visitEach, whoAnswered } from './support/who-answered.ts';
import { settled, workersOf } from './support/workers.ts';

const host = 'app.test';
const versions: readonly SecureVersion[] = ['TLSv1.2', 'TLSv1.3'];
const size = 3;
const flags = ['--workers', String(size)];
const long = { timeout: 6 * patience };

type Door = { readonly port: number; readonly ca: string };

/** A Swivel of three workers with one certificate. */
async function prepare(t: TestContext, config: object = {}) {
  const authority = await createAuthority();
  const directory = await temporaryDirectory(t);
  const first = await authority.issue({ names: [host] });
  await writePair(directory, 'app', first);
  const upstream = await startHeldUpstream(t);
  const options = { certs: directory, upstream: upstream.url, flags, config: { ...accessLog, ...config } };
  const swivel = await startSwivel(t, options);
  const door: Door = { port: swivel.port, ca: authority.certificatePem };
  return { authority, directory, first, swivel, door };
}

/** A request on a connection of its own. @returns the certificate that was shown */
async function visit(t: TestContext, door: Door, servername: string, path: string): Promise<string> {
  const client = await openHttp1(t, door, servername);
  const shown = client.fingerprint256;
  const { status } = await client.get(path);
  client.destroy();
  assert.equal(status, 200);
  return shown;
}

/** Ends a worker the hard way. @returns once another one serves in its place */
async function replaceByForce(swivel: Pick<RunningSwivel, 'status'>, worker: number, of = size): Promise<void> {
  const victim = (await workersOf(swivel)).find(({ id }) => id === worker);
  assert.ok(victim);
  process.kill(victim.pid, 'SIGKILL');
  await until('another worker in its place', async () => {
    const serving = await servingWorkers(swivel);
    return serving.length === of && !serving.includes(worker);
  });
}

const restartWorkers = async ({ adminUrl }: Pick<RunningSwivel, 'adminUrl'>) => {
  const { status } = await fetch(`${adminUrl}/restart-workers`, { method: 'POST' });
  assert.equal(status, 200);
};

test('once a rotation is told, no worker shows the certificate before it', bounded, async (t) => {
  const { authority, directory, first, swivel, door } = await prepare(t);
  const ids = (await settled(swivel, size)).map(({ id }) => id);
  assert.deepEqual(ids, [1, 2, 3]);
  for (const { found } of await visitEach(swivel, ids, (path) => visit(t, door, host, path))) {
    assert.equal(found, first.fingerprint256);
  }
  for (let i = 0; i < 3; i += 1) {
    const renewed = await authority.issue({ names: [host] });
    const told = swivel.process.line(({ event, to }) => event === 'rotation' && to === renewed.fingerprint256);
    await writePair(directory, 'app', renewed);
    await told;
    const shown = await Promise.all(Array.from({ length: 30 }, () => shownTo(door, host)));
    assert.deepEqual(new Set(shown), new Set([renewed.fingerprint256]));
    const { generation, workers } = await swivel.status();
    assert.deepEqual(
      workers.map((worker) => [worker.id, worker.generation]),
      ids.map((id) => [id, generation]),
    );
    for (const { found } of await visitEach(swivel, ids, (path) => visit(t, door, host, path))) {
      assert.equal(found, renewed.fingerprint256);
    }
    for (const id of ids) {
      assert.equal(await swivel.metric('swivel_worker_generation', { worker: String(id) }), generation);
    }
  }
});

/** Resumes a session until each worker has answered. @returns how many did not take it up */
async function resumeEverywhere(
  swivel: Pick<RunningSwivel, 'process' | 'status'>,
  resume: (path: string) => Promise<boolean>,
): Promise<number> {
  const visits = await visitEach(swivel, await servingWorkers(swivel), resume);
  return visits.filter(({ found }) => !found).length;
}

test('a session that one worker opened is taken up by every other, and by those that come later', long, async (t) => {
  const { authority, directory, swivel, door } = await prepare(t);
  await settled(swivel, size);
  const ask = async (version: SecureVersion, session: Buffer | undefined, path = uniquePath()) => {
    const client = await present(t, door, { servername: host, version, ...(session ? { session } : {}) });
    const request = client.request(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    // A resumed session brings a new ticket only with TLS 1.3.
    const [{ status }, ticket] = await Promise.all([request, session ? undefined : client.ticket]);
    const { reused } = client;
    client.destroy();
    assert.equal(status, 200);
    return { reused, ticket };
  };
  const opened = new Map<SecureVersion, { readonly ticket: Buffer; readonly worker: number }>();
  const openAll = async () => {
    for (const version of versions) {
      const path = uniquePath();
      const { reused, ticket } = await ask(version, undefined, path);
      assert.equal(reused, false);
      assert.ok(ticket);
      opened.set(version, { ticket, worker: await whoAnswered(swivel.process, path) });
    }
  };
  const missed = async (version: SecureVersion) =>
    resumeEverywhere(swivel, async (path) => (await ask(version, opened.get(version)?.ticket, path)).reused);
  await openAll();

  for (const version of versions) {
    await t.test(`${version}: by every worker there is`, async () => assert.equal(await missed(version), 0));
  }
  await t.test('by the rest and its replacement when the one that opened it is killed', async () => {
    await replaceByForce(swivel, opened.get('TLSv1.3')?.worker ?? 0);
    for (const version of versions) assert.equal(await missed(version), 0, version);
  });
  await t.test('by new ones alone, after all were replaced', async () => {
    await restartWorkers(swivel);
    for (const version of versions) assert.equal(await missed(version), 0, version);
  });
  await t.test('after an ordinary renewal too', async () => {
    const renewed = await authority.issue({ names: [host] });
    await writePair(directory, 'app', renewed);
    await swivel.process.line(({ event, to }) => event === 'rotation' && to === renewed.fingerprint256);
    for (const version of versions) assert.equal(await missed(version), 0, version);
  });
  await t.test('by none after the key was compromised', async () => {
    const before = await servingWorkers(swivel);
    assert.equal((await fetch(`${swivel.adminUrl}/reload?compromised=app`, { method: 'POST' })).status, 200);
    for (const version of versions) {
      let resumed = 0;
      await visitEach(swivel, before, async (path) => {
        resumed += Number((await ask(version, opened.get(version)?.ticket, path)).reused);
      });
      assert.equal(resumed, 0, version);
    }
  });
  await t.test('new sessions are taken up everywhere again', async () => {
    await openAll();
    for (const version of versions) assert.equal(await missed(version), 0, version);
  });
});

test('a client whose intermediate one worker saw is let in by all when it resumes', long, async (t) => {
  const root = await createAuthority();
  const intermediate = await root.intermediate();
  const client = { names: ['client.test'], eku: ['clientAuth'] };
  const alice = await intermediate.issue(client);
  const upstream = await startHeldUpstream(t);
  const door = await startMutual(t, {
    names: [host],
    upstream: upstream.url,
    trust: { 'ca.crt': root.certificatePem },
    clientCertificates: { mode: 'required' },
    config: { workers: size, ...accessLog, drain: { untrusted: 'cut', spread: '0s' } },
  });
  await settled(door, size);
  const target = { port: door.port, ca: await readFile(join(door.directory, 'ca.crt'), 'utf8') };
  const ask = async (one: Presenter, path = uniquePath()) =>
    (await one.request(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`)).status;
  const unverified = (version: SecureVersion, session?: Buffer, leaf: Leaf = alice) =>
    present(t, target, { leaf, servername: host, version, ...(session ? { session } : {}) });
  const tickets = new Map<SecureVersion, Buffer>();

  await t.test('at once, and not by the worker that knows it alone', async () => {
    for (const version of versions) {
      const first = await unverified(version);
      const ticket = first.ticket;
      const path = uniquePath();
      const [status, session] = await Promise.all([ask(first, path), ticket]);
      assert.equal(status, 200);
      tickets.set(version, session);
      const opener = await whoAnswered(door.process, path);
      const answers = await visitEach(door, await servingWorkers(door), async (each) => {
        const again = await unverified(version, session);
        const found = [await ask(again, each), again.reused];
        again.destroy();
        return found;
      });
      assert.ok(answers.some(({ worker }) => worker !== opener));
      for (const { worker, found } of answers) assert.deepEqual(found, [200, true], `${version}, worker ${worker}`);
    }
  });

  const resumedEverywhere = async () => {
    for (const version of versions) {
      const answers = await visitEach(door, await servingWorkers(door), async (each) => {
        const again = await unverified(version, tickets.get(version));
        const found = [await ask(again, each), again.reused];
        again.destroy();
        return found;
      });
      for (const { worker, found } of answers) assert.deepEqual(found, [200, true], `${version}, worker ${worker}`);
    }
  };
  await t.test('by a worker that was started later', async () => {
    await replaceByForce(door, (await servingWorkers(door))[0] ?? 0);
    await resumedEverywhere();
    await restartWorkers(door);
    await resumedEverywhere();
  });

  await t.test(
    'a revoked client is cut on every worker, and gets in by no session; others are left alone',
    async () => {
      const bob = await intermediate.issue(client);
      const open = async (leaf: Leaf) => {
        const one = await unverified('TLSv1.3', undefined, leaf);
        const path = uniquePath();
        assert.equal(await ask(one, path), 200);
        return { one, worker: await whoAnswered(door.process, path) };
      };
      const [ofAlice, ofBob] = await Promise.all([alice, bob].map((leaf) => openOnSeveral(() => open(leaf))));
      await door.change(async () => {
        const crl = (await root.crl([])) + (await intermediate.crl([alice]));
        await door.trust.write('ca.crt', root.certificatePem + intermediate.certificatePem + crl);
      });
      await Promise.all(ofAlice?.map(({ one }) => one.closed) ?? []);
      for (const { one } of ofBob ?? []) assert.equal(await ask(one), 200);
      for (const version of versions) {
        const answers = await visitEach(door, await servingWorkers(door), async (each) => {
          const again = await unverified(version, tickets.get(version));
          const found = [await ask(again, each), again.reused];
          again.destroy();
          return found;
        });
        for (const { found } of answers) assert.deepEqual(found, [403, false], version);
      }
    },
  );
});

/** Opens connections until several workers have some: 20 of them, or more where the kernel insists. */
async function openOnSeveral<T extends { readonly worker: number }>(open: () => Promise<T>): Promise<T[]> {
  const all: T[] = [];
  for (let round = 0; round < 10; round += 1) {
    all.push(...(await Promise.all(Array.from({ length: 20 }, open))));
    if (new Set(all.map(({ worker }) => worker)).size > 1) return all;
  }
  throw new Error('one worker accepts everything');
}

test('draining is summed over workers, and touches only what was retired', bounded, async (t) => {
  // Idle connections are closed after 10 s: whoever looks at them has to come before that.
  const { authority, directory, swivel, door } = await prepare(t, { drain: { timeout: '15s', spread: '0s' } });
  await writePair(directory, 'b', await authority.issue({ names: ['b.test'] }));
  await swivel.process.line(({ event, certificate }) => event === 'rotation' && certificate === 'b');
  await settled(swivel, size);
  const openOn = async (servername: string) => {
    const client = await openHttp1(t, door, servername);
    const path = uniquePath();
    assert.equal((await client.get(path)).lastOne, false);
    return { client, worker: await whoAnswered(swivel.process, path) };
  };
  const onA = await openOnSeveral(() => openOn(host));
  const onB = await openOnSeveral(() => openOn('b.test'));
  const [a, b] = [onA.length, onB.length];
  const renewed = await authority.issue({ names: [host] });
  await writePair(directory, 'app', renewed);
  const rotation = await swivel.process.line(({ event, to }) => event === 'rotation' && to === renewed.fingerprint256);

  await t.test('in /status, in /metrics, in the log, and by swivel status', async () => {
    const look = () =>
      Promise.all([swivel.status(), swivel.metrics(), runSwivel(['status', '--admin', swivel.adminUrl])] as const);
    let looked = await look();
    // Swivel asks itself what it shows now: those connections are short, and come a moment after the commit.
    await until('its own connections are gone', async () => {
      looked = await look();
      const [{ connections }, metrics, { stdout }] = looked;
      const open = new RegExp(`^swivel_connections_open\\{state="current"\\} ${b}$`, 'm');
      return connections.open === a + b && open.test(metrics) && stdout.includes(`, ${a + b} connections, `);
    });
    const [{ connections, rotations }, metrics, cli] = looked;
    assert.deepEqual(connections, {
      open: a + b,
      draining: a,
      byCertificate: { app: { current: 0, draining: a }, b: { current: b, draining: 0 } },
    });
    assert.deepEqual([rotation['drained'], rotations[0]?.drained], [a, a]);
    assert.match(metrics, new RegExp(`^swivel_connections_open\\{state="draining"\\} ${a}$`, 'm'));
    assert.match(metrics, new RegExp(`^swivel_connections_open\\{state="current"\\} ${b}$`, 'm'));
    assert.match(cli.stdout, new RegExp(`, ${a + b} connections, ${a} draining$`, 'm'));
    assert.match(cli.stdout, new RegExp(`^app .* 0\\+${a} +${host}$`, 'm'));
    assert.match(cli.stdout, new RegExp(`^b .* ${b}\\+0 +b\\.test$`, 'm'));
    for (const { id, pid } of await workersOf(swivel)) {
      assert.match(cli.stdout, new RegExp(`^worker ${id} \\(process ${pid}\\): serving, generation 3, `, 'm'));
    }
  });

  await t.test('those that ask again get their last answer, the idle ones end by themselves', async () => {
    const clientsOf = (all: readonly { readonly client: KeepAlive }[]) => all.map(({ client }) => client);
    const [asking, idle] = [clientsOf(onA.slice(0, 10)), clientsOf(onA.slice(10))];
    for (const client of asking) assert.equal((await client.get()).lastOne, true);
    for (const client of [...asking, ...idle]) assert.deepEqual(await client.closed, { error: null });
    for (const client of clientsOf(onB)) assert.equal((await client.get()).lastOne, false);
    const { connections } = await swivel.status();
    assert.deepEqual(connections, { open: b, draining: 0, byCertificate: { b: { current: b, draining: 0 } } });
    assert.equal(await swivel.metric('swivel_connections_open', { state: 'draining' }), 0);
    assert.equal(await swivel.metric('swivel_connections_drained_total', { how: 'graceful' }), a);
  });

  await t.test('a compromised certificate loses its connections on every worker', async () => {
    const again = await openOnSeveral(() => openOn(host));
    assert.equal((await fetch(`${swivel.adminUrl}/reload?compromised=app`, { method: 'POST' })).status, 200);
    const line = await swivel.process.line(({ event }) => event === 'compromised');
    assert.equal(line['connections'], again.length);
    await Promise.all(again.map(({ client }) => client.closed));
    for (const { client } of onB) assert.equal((await client.get()).lastOne, false);
  });
});

test('refusals of a canary count together, whichever worker saw them, and take it back', long, async (t) => {
  const [old, fresh] = [await createAuthority(), await createAuthority()];
  const canary = { share: '50%', duration: '1h' };
  const base = await temporaryDirectory(t);
  const directory = await temporaryDirectory(t);
  const caFile = join(base, 'old-ca.pem');
  await writeAtomically(caFile, old.certificatePem);
  const [served, next] = [await old.issue({ names: [host] }), await fresh.issue({ names: [host] })];
  await writePair(directory, 'app', served);
  const upstream = await serviceOf(t);
  const options = { certs: directory, upstream: upstream.url, flags, config: { rotation: { canary } } };
  const swivel = await startSwivel(t, options);
  const both = { port: swivel.port, ca: old.certificatePem + fresh.certificatePem };
  await settled(swivel, size);
  for (let i = 0; i < 3; i += 1) assert.equal((await curl(swivel.port, host, caFile)).code, 0);
  await writePair(directory, 'app', next);
  await swivel.process.line(({ event }) => event === 'canary');
  await settled(swivel, size);

  const shown = new Set<string>();
  await until('both are shown', async () => {
    for (const one of await Promise.all(Array.from({ length: 8 }, () => shownTo(both, host)))) shown.add(one);
    return shown.size === 2;
  });
  let refused = 0;
  const isTakenBack = () => swivel.process.lines.some(({ code }) => code === 'CANARY_REJECTED');
  for (let i = 0; !isTakenBack() && i < 60; i += 1) {
    const clients = await Promise.all([
      curl(swivel.port, host, caFile),
      curl(swivel.port, host, caFile),
      openssl(swivel.port, host, ['-verify_return_error', '-CAfile', caFile]),
    ]);
    for (const { code } of clients) refused += Number(code !== 0);
    for (const { code } of clients.slice(0, 2)) assert.ok(code === 0 || code === curlDistrusts, String(code));
  }
  const line = await swivel.process.line(({ code }) => code === 'CANARY_REJECTED');
  assert.match(String(line['message']), /the one before in 0 of \d+ handshakes$/);
  assert.equal(await swivel.metric('swivel_certificate_refusals_total', { certificate: 'app' }), refused);
  const after = await Promise.all(Array.from({ length: 30 }, () => shownTo(both, host)));
  assert.deepEqual(new Set(after), new Set([served.fingerprint256]));
  await settled(swivel, size);
});

test(
  '1,000 certificates and eight workers: a change costs one context, and a new worker has all of them',
  long,
  async (t) => {
    const authority = await createAuthority();
    const directory = await temporaryDirectory(t);
    const [certs, staging] = [join(directory, 'certs'), join(directory, 'staging')];
    for (const path of [certs, staging]) await mkdir(path);
    const nameOf = (i: number) => `name-${i}.test`;
    const leaves = await authority.issueMany(Array.from({ length: 1000 }, (_, i) => ({ names: [nameOf(i)] })));
    const [first, ...others] = leaves as [Leaf, ...Leaf[]];
    await writePair(certs, 'name-0', first);
    await Promise.all(others.map((leaf, i) => writePair(staging, `name-${i + 1}`, leaf)));
    const upstream = await startHeldUpstream(t);
    const options = { certs, upstream: upstream.url, flags: ['--workers', '8'], config: accessLog };
    const swivel = await startSwivel(t, options);
    const door = { port: swivel.port, ca: authority.certificatePem };
    await until('eight workers', async () => (await servingWorkers(swivel)).length === 8);
    const began = performance.now();
    await rename(staging, join(certs, 'more'));
    await until('1,000 certificates', async () => (await swivel.status()).certificates.length === 1000);
    await settled(swivel, 8);
    t.diagnostic(`999 more are served everywhere after ${Math.round(performance.now() - began)} ms`);

    await t.test('a scrape', async () => {
      const times: number[] = [];
      for (let i = 0; i < 10; i += 1) {
        const from = performance.now();
        await swivel.metrics();
        times.push(performance.now() - from);
      }
      times.sort((one, other) => one - other);
      t.diagnostic(`a scrape takes ${times.map((ms) => ms.toFixed(0)).join(', ')} ms`);
      assert.equal(times.length, 10);
    });

    await t.test('one renewed certificate costs each worker one context', async () => {
      const workers = await settled(swivel, 8);
      const cpu = () => Promise.all(workers.map(({ pid }) => cpuMsOf(pid)));
      const before = await cpu();
      const renewed = await authority.issue({ names: [nameOf(500)] });
      await writePair(join(certs, 'more'), 'name-500', renewed);
      const line = await swivel.process.line(({ event, to }) => event === 'rotation' && to === renewed.fingerprint256);
      const spent = (await cpu()).map((ms, i) => ms - (before[i] ?? 0));
      t.diagnostic(`CPU per worker: ${spent.join(', ')} ms; the rotation took ${line['durationMs']} ms`);
      assert.equal(line['drained'], 0);
      assert.equal(await shownTo(door, nameOf(500)), renewed.fingerprint256);
      assert.equal(await shownTo(door, nameOf(501)), leaves[501]?.fingerprint256);
      // 1,000 contexts are 300 ms of work.
      assert.ok(Math.min(...spent) < 100, `${spent}`);
    });

    await t.test('a new worker shows any of them from its first connection on', async () => {
      const victim = (await settled(swivel, 8))[0];
      assert.ok(victim);
      const known = await servingWorkers(swivel);
      process.kill(victim.pid, 'SIGKILL');
      let [answered, at] = [0, 0];
      await until('answers of the new worker', async () => {
        const names = Array.from({ length: 10 }, (_, i) => (at + i * 37) % 1000).filter((i) => i !== 500);
        at += 370;
        await Promise.all(
          names.map(async (i) => {
            const path = uniquePath();
            const shown = await visit(t, door, nameOf(i), path).catch(() => null);
            // What was on its way to the one that was killed.
            if (shown === null) return;
            assert.equal(shown, leaves[i]?.fingerprint256, nameOf(i));
            if (!known.includes(await whoAnswered(swivel.process, path))) answered += 1;
          }),
        );
        return answered >= 10;
      });
    });
  },
);

test('debug logs are switched on and off in every worker, and in those that come later', bounded, async (t) => {
  const { authority, directory, swivel } = await prepare(t);
  await settled(swivel, size);
  const rotate = async () => {
    const renewed = await authority.issue({ names: [host] });
    await writePair(directory, 'app', renewed);
    await swivel.process.line(({ event, to }) => event === 'rotation' && to === renewed.fingerprint256);
    const { generation } = await swivel.status();
    return generation;
  };
  const toldBy = (generation: unknown) => {
    const lines = swivel.process.lines.filter(
      (line) => line.event === 'generation' && line['generation'] === generation,
    );
    return lines.map(({ worker }) => Number(worker)).sort();
  };
  assert.deepEqual(toldBy(await rotate()), []);
  swivel.process.kill('SIGUSR2');
  await swivel.process.line(({ event, logLevel }) => event === 'log-level' && logLevel === 'debug');
  const second = await rotate();
  await until('a debug line of each', () => toldBy(second).length === size);
  await replaceByForce(swivel, 1);
  const third = await rotate();
  await until('a debug line of each', () => toldBy(third).length === size);
  assert.deepEqual(toldBy(third), [2, 3, 4]);
  swivel.process.kill('SIGUSR2');
  await swivel.process.line(({ event, logLevel }) => event === 'log-level' && logLevel === 'info');
  const fourth = await rotate();
  await settled(swivel, size);
  assert.deepEqual(toldBy(fourth), []);
});
