import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryDirectory, writeAtomically, writePair } from '../test/support/files.ts';
import { createAuthority, type Leaf } from '../test/support/pki.ts';
import { type KeepAlive, openHttp1, shownTo } from './support/clients.ts';
import { serviceOf, startModestLoad } from './support/modest-load.ts';
import { bounded, runSwivel, startSwivel, writeConfig } from './support/swivel.ts';

/** What is said of one certificate, as far as the tests look. */
interface Outlook {
  readonly id: string;
  readonly result: string;
  readonly activeAt: string | null;
  readonly namesGained: readonly string[];
  readonly namesLost: readonly string[];
  readonly drains: number;
  readonly error: { readonly code: string } | null;
}

/** How many clients are on each certificate. */
const clientsOn = { broken: 1, gains: 3, loses: 1, same: 2, waits: 2 };
type Id = keyof typeof clientsOn;
const ids = Object.keys(clientsOn) as Id[];
const namesOf = (id: Id) => [`${id}.test`, `www.${id}.test`];

test('swivel check --against says what a running Swivel would make of certificates', bounded, async (t) => {
  const authority = await createAuthority();
  const directory = await temporaryDirectory(t);
  const served = new Map<Id, Leaf>();
  for (const id of ids) {
    const leaf = await authority.issue({ names: namesOf(id) });
    served.set(id, leaf);
    await writePair(directory, id, leaf);
  }
  await writePair(directory, 'other', await authority.issue({ names: ['other.test'] }));
  const upstream = await serviceOf(t);
  // Clients that say nothing stay for the whole test.
  const config = { proxy: { headersTimeout: '10m' } };
  const swivel = await startSwivel(t, { certs: directory, upstream: upstream.url, config });
  const door = { port: swivel.port, ca: authority.certificatePem };
  const load = await startModestLoad(t, swivel, 'other.test', authority.certificatePem);
  const clients: KeepAlive[] = [];
  for (const id of ids) {
    for (let i = 0; i < clientsOn[id]; i += 1) clients.push(await openHttp1(t, door, `${id}.test`));
  }

  const notBefore = new Date(Math.ceil(Date.now() / 1000 + 3600) * 1000);
  const put: Record<Id, (path: string) => Promise<void>> = {
    gains: async (path) =>
      writePair(path, 'gains', await authority.issue({ names: [...namesOf('gains'), 'new.gains.test'] })),
    loses: async (path) => writePair(path, 'loses', await authority.issue({ names: ['loses.test'] })),
    waits: async (path) => writePair(path, 'waits', await authority.issue({ names: namesOf('waits'), notBefore })),
    same: async (path) => writePair(path, 'same', served.get('same') as Leaf),
    broken: async (path) => {
      await writePair(path, 'broken', await authority.issue({ names: namesOf('broken') }));
      await writeAtomically(join(path, 'broken.key'), (served.get('broken') as Leaf).keyPem);
    },
  };
  const candidatesFor = async (...which: Id[]) => {
    const path = await temporaryDirectory(t);
    for (const id of which) await put[id](path);
    return path;
  };
  const check = (path: string, ...more: string[]) => runSwivel(['check', path, '--against', swivel.adminUrl, ...more]);
  const outlooks = (stdout: string) => {
    const { ok, certificates } = JSON.parse(stdout) as { ok: boolean; certificates: Outlook[] };
    const found = new Map(
      certificates.map(({ id, result, activeAt, namesGained, namesLost, drains, error }) => [
        id,
        { result, activeAt, namesGained, namesLost, drains, error: error?.code ?? null },
      ]),
    );
    return { ok, found };
  };
  const seen = async () => {
    const { generation, rotations, connections, certificates, conditions } = await swivel.status();
    const onEach = ids.map((id) => connections.byCertificate[id]);
    return { generation, rotations, onEach, certificates, conditions };
  };
  const before = await seen();
  assert.deepEqual(
    before.onEach,
    ids.map((id) => ({ current: clientsOn[id], draining: 0 })),
  );
  const lines = swivel.process.lines.length;

  await t.test('of each: whether, when, for which names and at the cost of which connections', async () => {
    const began = Date.now();
    const { code, stdout, stderr } = await check(await candidatesFor(...ids), '--json');
    assert.equal(code, 3);
    assert.match(stderr, /^swivel: CHECK_FAILED: /);
    const { ok, found } = outlooks(stdout);
    assert.equal(ok, false);
    const nothing = { activeAt: null, namesGained: [], namesLost: [], drains: 0, error: null };
    const { activeAt, ...gains } = found.get('gains') ?? {};
    assert.deepEqual(gains, {
      result: 'applied',
      namesGained: ['new.gains.test'],
      namesLost: [],
      drains: 3,
      error: null,
    });
    const at = Date.parse(activeAt ?? '');
    assert.ok(began <= at && at <= Date.now(), 'at once');
    const loses = { ...nothing, result: 'rejected', namesLost: ['www.loses.test'], error: 'NAMES_LOST' };
    assert.deepEqual(found.get('loses'), loses);
    const waits = { result: 'waits', activeAt: notBefore.toISOString(), drains: 2, error: 'CERT_NOT_YET_VALID' };
    assert.deepEqual(found.get('waits'), { ...nothing, ...waits });
    assert.deepEqual(found.get('same'), { ...nothing, result: 'unchanged' });
    assert.deepEqual(found.get('broken'), { ...nothing, result: 'rejected', error: 'KEY_MISMATCH' });
    assert.equal(found.size, ids.length, 'nothing is said of what is not among the candidates');
  });

  await t.test('as a table, and with success when nothing would be rejected', async () => {
    const { code, stdout, stderr } = await check(await candidatesFor('gains', 'same', 'waits'));
    assert.deepEqual([code, stderr], [0, '']);
    assert.match(stdout, /^CERTIFICATE +WOULD BE +ACTIVE +NAMES GAINED +NAMES LOST +CONNECTIONS DRAINED$/m);
    assert.match(stdout, /^gains +applied +at once +new\.gains\.test +- +3$/m);
    assert.match(stdout, /^same +unchanged +- +- +- +0$/m);
    assert.match(stdout, new RegExp(`^waits +waits +${notBefore.toISOString()} +- +- +2$`, 'm'));
  });

  await t.test('by the gate that is configured', async () => {
    const config = await writeConfig(t, { gate: { namesLost: 'warn' }, upstreams: { u: { targets: [upstream.url] } } });
    const { code, stdout } = await check(await candidatesFor('loses'), '--json', '--config', config);
    const { ok, found } = outlooks(stdout);
    const { result, namesLost, drains } = found.get('loses') ?? {};
    assert.deepEqual([code, ok, result, namesLost, drains], [0, true, 'applied', ['www.loses.test'], 1]);
  });

  await t.test('where no Swivel answers, it says so', async () => {
    const path = await candidatesFor('gains');
    const { code, stdout, stderr } = await runSwivel(['check', path, '--against', '127.0.0.1:9']);
    assert.deepEqual([code, stdout], [1, '']);
    assert.match(stderr, /^swivel: ADMIN_UNREACHABLE: http:\/\/127\.0\.0\.1:9 does not answer /);
  });

  await t.test('the running one noticed none of it', async () => {
    assert.deepEqual(await seen(), before);
    assert.deepEqual(swivel.process.lines.slice(lines), []);
    for (const id of ids) assert.equal(await shownTo(door, `${id}.test`), served.get(id)?.fingerprint256);
    for (const client of clients) assert.equal((await client.get()).lastOne, false);
    await load.unharmed();
  });
});
