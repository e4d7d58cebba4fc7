import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { catalogue, type ErrorCode } from '../src/errors.ts';
import { temporaryDirectory, writeAtomically, writePair } from '../test/support/files.ts';
import { createAuthority, Leaf } from '../test/support/pki.ts';
import { shownTo } from './support/clients.ts';
import { serviceOf, startModestLoad } from './support/modest-load.ts';
import { bounded, type LogLine, runSwivel, startSwivel } from './support/swivel.ts';
import { until } from './support/until.ts';

test('a certificate that would break clients is not served, and the reason is told', bounded, async (t) => {
  const root = await createAuthority();
  const ours = await root.intermediate();
  const foreign = await createAuthority();
  const base = await temporaryDirectory(t);
  const directory = await temporaryDirectory(t);
  await writeAtomically(join(base, 'ours.pem'), root.certificatePem);
  const names = ['a.test', 'b.test'];
  const site = await ours.issue({ names });
  const pair = await ours.issue({ names: ['c.test', 'd.test'] });
  const chained = await ours.issue({ names: ['chain.test'] });
  const strong = await ours.issue({ names: ['strong.test'], keyType: 'ec-p384' });
  await writePair(directory, 'site', site);
  await writePair(directory, 'pair', pair);
  await writePair(directory, 'chain', chained);
  await writePair(directory, 'strong', strong);
  const upstream = await serviceOf(t);
  const swivel = await startSwivel(t, {
    certs: directory,
    upstream: upstream.url,
    config: {
      trust: { ours: { path: join(base, 'ours.pem') } },
      gate: { anchors: 'ours', chainIncomplete: 'reject' },
      drain: { spread: '0s' },
    },
  });
  const door = { port: swivel.port, ca: root.certificatePem };
  const load = await startModestLoad(t, swivel, 'a.test', root.certificatePem);
  const statusOf = async (id: string) => (await swivel.status()).certificates.find((one) => one.id === id);
  const rotationTo = (leaf: Leaf) =>
    swivel.process.line(({ event, to }) => event === 'rotation' && to === leaf.fingerprint256);
  const reloads = async (certificate: string, result: string) =>
    (await swivel.metric('swivel_certificate_reloads_total', { certificate, result })) ?? 0;

  /** It is not served, and everything says why. @param names that go on to be served as before */
  const isRefused = async (id: string, code: ErrorCode, served: Leaf, names: readonly string[]): Promise<LogLine> => {
    const line = await swivel.process.line(
      (line) => line.event === 'rejected' && line['certificate'] === id && line['code'] === code,
    );
    assert.deepEqual([line['level'], line['remedy']], ['error', catalogue[code].remedy]);
    assert.equal(line['file'], join(directory, `${id}.crt`));
    for (const name of names) assert.equal(await shownTo(door, name), served.fingerprint256, name);
    const { state, fingerprint256, diskMatchesServed, lastError } = (await statusOf(id)) ?? {};
    assert.deepEqual([state, fingerprint256, diskMatchesServed], ['rejected', served.fingerprint256, false]);
    assert.equal(lastError?.code, code);
    assert.equal(lastError?.message, line['message']);
    assert.ok((await reloads(id, 'rejected')) >= 1);
    assert.equal(await swivel.metric('swivel_certificate_disk_matches_served', { certificate: id }), 0);
    return line;
  };

  await t.test('names that nobody would serve any more are a reason to refuse', async () => {
    const shrunk = await ours.issue({ names: ['a.test'] });
    await writePair(directory, 'site', shrunk);
    const line = await isRefused('site', 'NAMES_LOST', site, names);
    assert.match(String(line['message']), /no longer covers b\.test$/);
    assert.deepEqual((await statusOf('site'))?.names, names);
    assert.equal((await swivel.ready()).status, 200);
    const again = await runSwivel(['reload', '--admin', swivel.adminUrl]);
    assert.equal(again.code, 3);
    assert.match(again.stdout, /^site: rejected: NAMES_LOST: .* no longer covers b\.test; /m);
    assert.equal(await shownTo(door, 'b.test'), site.fingerprint256);
    assert.deepEqual((await swivel.status()).rotations, []);

    const accepted = await runSwivel(['reload', '--accept', 'site', '--admin', swivel.adminUrl]);
    assert.deepEqual([accepted.code, accepted.stderr], [0, '']);
    assert.match(accepted.stdout, /^site: applied$/m);
    assert.equal(await shownTo(door, 'a.test'), shrunk.fingerprint256);
    const { state, diskMatchesServed, lastError } = (await statusOf('site')) ?? {};
    assert.deepEqual([state, diskMatchesServed, lastError], ['serving', true, null]);
    assert.equal(await swivel.metric('swivel_certificate_disk_matches_served', { certificate: 'site' }), 1);
  });

  await t.test('what was accepted once is no licence for the next one', async () => {
    const none = await ours.issue({ names: ['elsewhere.test'] });
    const { fingerprint256 = '' } = (await statusOf('site')) ?? {};
    await writePair(directory, 'site', none);
    await until('it is refused', async () => (await statusOf('site'))?.lastError?.message.endsWith('covers a.test'));
    assert.equal(await shownTo(door, 'a.test'), fingerprint256);
    const whole = await ours.issue({ names });
    await writePair(directory, 'site', whole);
    await rotationTo(whole);
    assert.equal(await shownTo(door, 'b.test'), whole.fingerprint256);
  });

  await t.test('names that moved to another certificate are not lost', async () => {
    const moved = await ours.issue({ names: ['d.test'] });
    const rest = await ours.issue({ names: ['c.test'] });
    await writePair(directory, 'moved', moved);
    await rotationTo(moved);
    await writePair(directory, 'pair', rest);
    await rotationTo(rest);
    assert.equal(await shownTo(door, 'c.test'), rest.fingerprint256);
    assert.equal(await shownTo(door, 'd.test'), moved.fingerprint256);
    assert.equal(await reloads('pair', 'rejected'), 0);
  });

  await t.test('those that move in the other order are waited for', async () => {
    const rest = await ours.issue({ names: ['a.test'] });
    const moved = await ours.issue({ names: ['b.test'] });
    await writePair(directory, 'site', rest);
    await until('it is refused', async () => (await statusOf('site'))?.lastError?.message.endsWith('covers b.test'));
    await writePair(directory, 'site-b', moved);
    await rotationTo(rest);
    assert.equal(await shownTo(door, 'a.test'), rest.fingerprint256);
    assert.equal(await shownTo(door, 'b.test'), moved.fingerprint256);
  });

  await t.test('a chain without its intermediate is one, where the gate says so', async () => {
    const aiaCaIssuers = 'http://127.0.0.1:9/intermediate.crt';
    const { certificatePem, keys } = await ours.issue({ names: ['chain.test'], aiaCaIssuers });
    await writePair(directory, 'chain', new Leaf(certificatePem, '', keys));
    await isRefused('chain', 'CHAIN_INCOMPLETE', chained, ['chain.test']);
  });

  await t.test('a chain that ends in another authority is one', async () => {
    await writePair(directory, 'chain', await foreign.issue({ names: ['chain.test'] }));
    const line = await isRefused('chain', 'CHAIN_UNANCHORED', chained, ['chain.test']);
    assert.match(String(line['message']), /does not lead to an authority of ours$/);
    const whole = await ours.issue({ names: ['chain.test'] });
    await writePair(directory, 'chain', whole);
    await rotationTo(whole);
    assert.equal(await shownTo(door, 'chain.test'), whole.fingerprint256);
  });

  await t.test('a key that is weaker than before is served, and warned of', async () => {
    const weaker = await ours.issue({ names: ['strong.test'] });
    await writePair(directory, 'strong', weaker);
    await rotationTo(weaker);
    const line = await swivel.process.line(({ code }) => code === 'KEY_WEAKER');
    assert.deepEqual([line.event, line['level'], line['certificate']], ['warning', 'warn', 'strong']);
    assert.match(String(line['message']), /ec-p384 to ec-p256$/);
    assert.equal(await shownTo(door, 'strong.test'), weaker.fingerprint256);
  });

  await t.test('no client noticed any of it', () => load.unharmed());
});
