import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryDirectory } from '../test/support/files.ts';
import { percentilesOf } from '../test/support/load/percentiles.ts';
import { type Authority, createAuthority, type Leaf } from '../test/support/pki.ts';
import { writeFiles } from './support/bad-input.ts';
import { shownTo } from './support/clients.ts';
import { canDo, unprivileged } from './support/machine.ts';
import { serviceOf, startModestLoad } from './support/modest-load.ts';
import { bounded, type LogLine, startSwivel } from './support/swivel.ts';
import { until } from './support/until.ts';

const many = 1000;
const rotated = 30;
/** Written one right after the other. */
const atOnce = 6;
const numbers = Array.from({ length: many }, (_, i) => i);

const idOf = (i: number) => `part-${i % 10}/site-${String(i).padStart(4, '0')}`;
const hostOf = (i: number) => `site-${i}.test`;

const throwing = "export default () => ({ load() { throw new Error('this is how it always ends'); } });\n";
/** Gives one identity as long as a file is not there, and loops for ever once it is. */
const looping = `
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
export default ({ marker, directory, cert, key }, { log }) => ({
  async load() {
    if (existsSync(marker)) {
      log('loops for ever');
      await pause(50);
      for (;;) {}
    }
    const read = (path) => readFileSync(path, 'utf8');
    return { identities: [{ id: 'plugged', certificatePem: read(cert), keyPem: read(key) }], watch: [directory] };
  },
});
`;

/** A thousand identities in a tree of directories. */
async function createTree(path: string, authority: Authority): Promise<Leaf[]> {
  const leaves = await authority.issueMany(numbers.map((i) => ({ names: [hostOf(i)] })));
  for (let part = 0; part < 10; part += 1) await mkdir(join(path, `part-${part}`), { recursive: true });
  for (const [i, leaf] of leaves.entries()) {
    await writeFile(join(path, `${idOf(i)}.key`), leaf.keyPem);
    await writeFile(join(path, `${idOf(i)}.crt`), leaf.chainPem);
  }
  return leaves;
}

async function writeLeaf(path: string, i: number, leaf: Leaf): Promise<void> {
  await writeFiles({ cert: join(path, `${idOf(i)}.crt`), key: join(path, `${idOf(i)}.key`) }, leaf);
}

/** Sources in which everything is wrong that can be, and where they are. */
async function createBroken(base: string) {
  const path = (name: string) => join(base, name);
  await writeFile(path('throws.mjs'), throwing);
  await writeFile(path('loops.mjs'), looping);
  await writeFile(path('broken.p12'), Buffer.alloc(2048, 7));
  await writeFile(path('broken.pass'), 'secret\n');
  await writeFile(path('broken-ca.pem'), '-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n');
  await mkdir(path('watched'));
  await mkdir(path('locked'), { mode: 0 });
  return {
    throws: path('throws.mjs'),
    loops: path('loops.mjs'),
    keystore: path('broken.p12'),
    password: path('broken.pass'),
    authorities: path('broken-ca.pem'),
    watched: path('watched'),
    locked: path('locked'),
  };
}

/** Different numbers below `many`, at random. */
function chooseSome(count: number): number[] {
  const chosen = new Set<number>();
  while (chosen.size < count) chosen.add(randomInt(many));
  return [...chosen];
}

test('among a thousand certificates, sources that are broken disturb nobody but themselves', bounded, async (t) => {
  const wrap = unprivileged();
  if (!canDo(t, 'running as another user', [...wrap, process.execPath, '--version'])) return;
  const authority = await createAuthority();
  const base = await temporaryDirectory(t);
  await chmod(base, 0o755);
  const tree = join(base, 'tree');
  const served = await createTree(tree, authority);
  const broken = await createBroken(base);
  const plugged = await authority.issue({ names: ['plugged.test'] });
  const files = { cert: join(base, 'plugged.crt'), key: join(base, 'plugged.key') };
  await writeFiles(files, plugged);
  const upstream = await serviceOf(t);
  const options = { marker: join(broken.watched, 'now'), directory: broken.watched, ...files };
  const certificates = [
    { path: tree },
    { module: broken.throws },
    { module: broken.loops, options },
    { pkcs12: broken.keystore, passphraseFile: broken.password },
    { path: broken.locked },
  ];
  const swivel = await startSwivel(t, {
    upstream: upstream.url,
    wrap,
    config: { certificates, trust: { broken: { path: broken.authorities } }, drain: { spread: '0s' } },
  });
  const door = { port: swivel.port, ca: authority.certificatePem };
  const [victim = 0, steady = 0, ...chosen] = chooseSome(rotated + 2);
  const loads = await Promise.all(
    [steady, chosen[0] as number].map((i) => startModestLoad(t, swivel, hostOf(i), authority.certificatePem)),
  );
  const isGivenUp = ({ message }: LogLine) => String(message).startsWith(`${broken.loops} `);
  const stateOf = async (source: string) => (await swivel.status()).sources.find(({ id }) => id === source);

  await t.test('what is broken is told, each for itself', async () => {
    for (const [id, code] of [
      [broken.throws, 'PLUGIN_FAILED'],
      [broken.locked, 'SOURCE_UNREADABLE'],
    ] as const) {
      const { state, lastError } = (await stateOf(id)) ?? {};
      assert.deepEqual([state, lastError?.code], ['failed', code], id);
    }
    const { certificates: states, trust } = await swivel.status();
    assert.equal(states.filter(({ state }) => state === 'serving').length, many + 1);
    const keystore = states.find(({ state }) => state !== 'serving');
    assert.deepEqual([keystore?.state, keystore?.lastError?.code], ['rejected', 'KEYSTORE_UNREADABLE']);
    assert.ok(trust.find(({ id }) => id === 'broken')?.lastError);
  });

  await t.test('one source loops for ever, and one certificate is cut short', async () => {
    await writeFile(options.marker, '');
    await swivel.process.line(({ event, msg }) => event === 'plugin' && msg === 'loops for ever');
    await writeFile(join(tree, `${idOf(victim)}.crt`), (served[victim] as Leaf).chainPem.slice(0, 300));
  });

  await t.test(`${rotated} others rotate as if nothing were there`, async () => {
    const renewed = await authority.issueMany(chosen.map((i) => ({ names: [hostOf(i)] })));
    const durations: number[] = [];
    for (let from = 0; from < rotated; from += atOnce) {
      const some = chosen.slice(from, from + atOnce).map((i, nth) => ({ i, leaf: renewed[from + nth] as Leaf }));
      for (const { i, leaf } of some) await writeLeaf(tree, i, leaf);
      for (const { i, leaf } of some) {
        const line = await swivel.process.line(({ event, to }) => event === 'rotation' && to === leaf.fingerprint256);
        assert.deepEqual([line['certificate'], line['from']], [idOf(i), served[i]?.fingerprint256]);
        assert.equal(await shownTo(door, hostOf(i)), leaf.fingerprint256, hostOf(i));
        durations.push(Number(line['durationMs']));
        served[i] = leaf;
      }
      if (from === 0) assert.ok(!swivel.process.lines.some(isGivenUp), 'none waits for a source that does not answer');
    }
    const { median, worst } = percentilesOf(durations);
    t.diagnostic(`from the first sign to serving it: median ${median} ms, worst ${worst} ms`);
  });

  await t.test('and all others are served as they were', async () => {
    await swivel.process.line(isGivenUp);
    const line = await swivel.process.line(({ code }) => code === 'CERT_UNPARSABLE');
    assert.equal(line['certificate'], idOf(victim));
    await until('the status says so', async () => {
      const { certificates: all } = await swivel.status();
      return all.filter(({ id, state }) => id.startsWith('part-') && state === 'serving').length === many - 1;
    });
    const states = new Map((await swivel.status()).certificates.map((one) => [one.id, one]));
    for (const i of numbers) {
      const { fingerprint256, state } = states.get(idOf(i)) ?? {};
      assert.deepEqual([fingerprint256, state], [served[i]?.fingerprint256, i === victim ? 'rejected' : 'serving']);
    }
    for (const i of [victim, steady, ...chooseSome(20)]) {
      assert.equal(await shownTo(door, hostOf(i)), served[i]?.fingerprint256, hostOf(i));
    }
    assert.equal(states.get('plugged')?.fingerprint256, plugged.fingerprint256);
    assert.equal(await shownTo(door, 'plugged.test'), plugged.fingerprint256);
    assert.equal((await swivel.ready()).status, 200);
  });

  await t.test('no client noticed any of it', async () => {
    for (const load of loads) await load.unharmed();
  });
});
