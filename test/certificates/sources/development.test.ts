import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import {
  DevelopmentSource,
  type DevelopmentSourceOptions,
  issueDevelopmentCertificate,
  type SourceMaterial,
  type ValidatedIdentity,
  validate,
} from '../../../src/certificates/index.ts';
import { temporaryDirectory, writePair } from '../../support/files.ts';
import { createAuthority, selfSigned } from '../../support/pki.ts';

const names = ['localhost', '*.app.test', '127.0.0.1', '0:0:0:0:0:0:0:1'];
const second = 1000;
const day = 24 * 60 * 60 * second;

interface Clock {
  time: number;
}

/** A source whose clock stands still at `clock.time`, and what it issued. */
function sourceOf(path: string, clock: Clock, rest: Partial<DevelopmentSourceOptions> = {}) {
  const issued: string[] = [];
  const source = new DevelopmentSource({
    ...{ path, names, now: () => clock.time, issued: ({ serialNumber }) => void issued.push(serialNumber) },
    ...rest,
  });
  return { source, issued };
}

function served({ identities, findings }: SourceMaterial): ValidatedIdentity {
  assert.deepEqual(findings, []);
  assert.equal(identities.length, 1);
  const [identity] = identities.map((one) => validate(one).identity);
  assert.ok(identity);
  return identity;
}

const load = async (source: DevelopmentSource) => source.load({ thorough: false });
const codes = ({ findings }: SourceMaterial) => findings.map(({ code, severity }) => `${code} ${severity}`);
const parsed = async (directory: string, file: string) => new X509Certificate(await readFile(join(directory, file)));

test('it obtains a certificate, and another one with another key whenever a third of its life is left', async (t) => {
  const directory = join(await temporaryDirectory(t), 'made');
  const clock = { time: Date.now() };
  const { source, issued } = sourceOf(directory, clock, { lifetime: 6 * second });
  const keys = new Set<string>();
  for (let cycle = 1; cycle <= 4; cycle += 1) {
    const material = await load(source);
    const identity = served(material);
    keys.add(identity.keyPem.reveal());
    assert.equal(issued.length, cycle);
    assert.equal(identity.leaf.serialNumber, issued.at(-1));
    assert.ok(identity.leaf.notBefore <= clock.time - 3600 * second);
    assert.ok(identity.leaf.notAfter >= clock.time + 6 * second && identity.leaf.notAfter < clock.time + 8 * second);
    const { askAgainAt = 0 } = material;
    assert.ok(askAgainAt >= clock.time + 3 * second && askAgainAt <= identity.leaf.notAfter - 2 * second);
    // A moment before, nothing happens.
    clock.time = askAgainAt - 1;
    const again = await load(source);
    assert.equal(served(again).fingerprint, identity.fingerprint);
    assert.equal(again.askAgainAt, askAgainAt);
    clock.time = askAgainAt;
  }
  assert.equal(keys.size, 4);
  assert.deepEqual((await readdir(directory)).sort(), ['.ca.key', 'ca.crt', 'tls.crt', 'tls.key']);
});

test('the authority stays the same until it would end before what it issues, and is then made anew', async (t) => {
  const directory = await temporaryDirectory(t);
  const clock = { time: Date.now() };
  const { source } = sourceOf(directory, clock);
  await load(source);
  const first = await parsed(directory, 'ca.crt');
  const renewed = async (time: number) => {
    clock.time = time;
    await load(source);
    const authority = await parsed(directory, 'ca.crt');
    const leaf = await parsed(directory, 'tls.crt');
    assert.ok(leaf.verify(authority.publicKey));
    assert.ok(leaf.validToDate <= authority.validToDate);
    return authority;
  };
  assert.equal((await renewed(clock.time + 3000 * day)).fingerprint256, first.fingerprint256);
  assert.notEqual((await renewed(first.validToDate.getTime() - 29 * day)).fingerprint256, first.fingerprint256);
});

test('other names are a reason to issue it again; the same ones in another spelling are not', async (t) => {
  const directory = await temporaryDirectory(t);
  const clock = { time: Date.now() };
  served(await load(sourceOf(directory, clock).source));
  for (const [configured, count] of [
    [['::1', 'LOCALHOST.', '127.0.0.1', '*.app.test'], 0],
    [['localhost'], 1],
    [['localhost'], 0],
    [['localhost', 'b.test'], 1],
  ] as const) {
    const { source, issued } = sourceOf(directory, clock, { names: configured });
    served(await load(source));
    assert.equal(issued.length, count, configured.join());
  }
});

test('a name that no certificate can hold is asked for once, not for ever', async (t) => {
  const { source, issued } = sourceOf(await temporaryDirectory(t), { time: Date.now() }, { names: ['bücher.test'] });
  for (let i = 0; i < 3; i += 1) await load(source);
  assert.equal(issued.length, 1);
});

test('what swivel dev-cert wrote is served, and replaced when it is due', async (t) => {
  const directory = await temporaryDirectory(t);
  const { serialNumber, notAfter } = await issueDevelopmentCertificate(directory, names);
  const clock = { time: Date.now() };
  const { source, issued } = sourceOf(directory, clock);
  const material = await load(source);
  assert.equal(served(material).leaf.serialNumber, serialNumber);
  assert.equal(issued.length, 0);
  assert.ok(Math.abs((material.askAgainAt ?? 0) - (notAfter.getTime() - 10 * day)) < 2 * second);
  clock.time = notAfter.getTime() - 9 * day;
  assert.notEqual(served(await load(source)).leaf.serialNumber, serialNumber);
});

test('a certificate of another authority is served and never replaced', async (t) => {
  const directory = await temporaryDirectory(t);
  const notAfter = new Date(Date.now() + second);
  const leaf = await (await createAuthority()).issue({ names: ['own.test'], notAfter });
  await writePair(directory, 'tls', leaf);
  const { source, issued } = sourceOf(directory, { time: Date.now() + 60 * day });
  const material = await load(source);
  assert.equal(material.identities[0]?.certificatePem.trim(), leaf.chainPem.trim());
  assert.equal(material.askAgainAt, undefined);
  assert.deepEqual(issued, []);
});

for (const [what, spoil] of [
  ['lost its key', (directory: string) => rm(join(directory, 'tls.key'))],
  [
    'has the key of another',
    async (directory: string) => writeFile(join(directory, 'tls.key'), (await selfSigned()).keyPem),
  ],
] as const) {
  test(`a pair that ${what}, as a writer that was killed leaves it, is issued again`, async (t) => {
    const directory = await temporaryDirectory(t);
    const { source, issued } = sourceOf(directory, { time: Date.now() });
    await load(source);
    await spoil(directory);
    served(await load(source));
    assert.equal(issued.length, 2);
  });
}

test('an authority with the key of another is made anew', async (t) => {
  const directory = await temporaryDirectory(t);
  await issueDevelopmentCertificate(directory, names);
  const other = await temporaryDirectory(t);
  await issueDevelopmentCertificate(other, names);
  await writeFile(join(directory, '.ca.key'), await readFile(join(other, '.ca.key')));
  await issueDevelopmentCertificate(directory, names);
  const leaf = await parsed(directory, 'tls.crt');
  assert.ok(leaf.verify((await parsed(directory, 'ca.crt')).publicKey));
});

describe('a place that cannot be written to', () => {
  // A file where the lock would be made: it is refused to every user, root as well.
  const block = (directory: string) => writeFile(join(directory, '.lock'), '');

  test('what is there is served, with a warning, and it is tried again later', async (t) => {
    const directory = await temporaryDirectory(t);
    const clock = { time: Date.now() };
    const { source, issued } = sourceOf(directory, clock, { lifetime: 6 * second });
    const first = served(await load(source));
    await block(directory);
    clock.time += 5 * second;
    const material = await load(source);
    assert.deepEqual(codes(material), ['OUTPUT_UNWRITABLE warning']);
    assert.equal(material.findings[0]?.identity, undefined);
    assert.equal(validate(material.identities[0] ?? assert.fail()).identity?.fingerprint, first.fingerprint);
    assert.equal(material.askAgainAt, clock.time + 30 * second);
    await rm(join(directory, '.lock'));
    assert.deepEqual(codes(await load(source)), ['OUTPUT_UNWRITABLE warning']);
    assert.equal(issued.length, 1);
    clock.time = material.askAgainAt ?? 0;
    served(await load(source));
    assert.equal(issued.length, 2);
  });

  test('a thorough look tries at once', async (t) => {
    const directory = await temporaryDirectory(t);
    await block(directory);
    const { source } = sourceOf(directory, { time: Date.now() });
    // There is nothing to serve, and this is why.
    const material = await load(source);
    assert.deepEqual(codes(material), ['OUTPUT_UNWRITABLE error', 'SOURCE_EMPTY error']);
    await rm(join(directory, '.lock'));
    served(await source.load({ thorough: true }));
  });

  test('a path below a file', async (t) => {
    const file = join(await temporaryDirectory(t), 'file');
    await writeFile(file, '');
    const { source } = sourceOf(join(file, 'below'), { time: Date.now() });
    assert.deepEqual(codes(await load(source)), ['OUTPUT_UNWRITABLE error', 'SOURCE_MISSING error']);
  });
});

test('several that share a directory issue one certificate between them', async (t) => {
  const directory = join(await temporaryDirectory(t), 'shared');
  const clock = { time: Date.now() };
  const all = Array.from({ length: 4 }, () => sourceOf(directory, clock));
  for (const round of [1, 2]) {
    const fingerprints = (await Promise.all(all.map(({ source }) => load(source)))).map(
      (one) => served(one).fingerprint,
    );
    assert.equal(new Set(fingerprints).size, 1);
    assert.equal(all.flatMap(({ issued }) => issued).length, round);
    clock.time += 25 * day;
  }
});

test('a lock that a dead process left behind is taken away', async (t) => {
  const directory = await temporaryDirectory(t);
  const lock = join(directory, '.lock');
  await mkdir(lock);
  const { withDirectoryLock } = await import('../../../src/certificates/directory-lock.ts');
  assert.equal(await withDirectoryLock(directory, async () => (await stat(lock)).isDirectory(), 50), true);
  assert.deepEqual(await readdir(directory), []);
});
