import assert from 'node:assert/strict';
import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { catalogue, type ErrorCode } from '../src/errors.ts';
import { temporaryDirectory, writePair } from '../test/support/files.ts';
import { createAuthority } from '../test/support/pki.ts';
import { badInputs, createVictim, type Victim } from './support/bad-input.ts';
import { shownTo } from './support/clients.ts';
import { canDo, unprivileged } from './support/machine.ts';
import { bounded, runSwivel, startSwivel } from './support/swivel.ts';

const upstream = 'http://127.0.0.1:9';
const wrap = unprivileged();

interface Reason {
  readonly code: ErrorCode;
  readonly file: string;
}

interface Checked {
  readonly ok: boolean;
  readonly certificates: readonly { id: string; error: (Reason & { remedy: string }) | null }[];
  readonly failures: readonly (Reason & { remedy: string })[];
}

/** The lines of a text that tell a reason: its code, the file and what to do about it. */
function tells(text: string, { code, file }: Reason): boolean {
  return text
    .split('\n')
    .some((line) => line.includes(`${code}: `) && line.includes(file) && line.includes(catalogue[code].remedy));
}

async function allThreeRefuse(certs: string, reasons: readonly Reason[]): Promise<void> {
  const flags = ['--certs', certs, '--upstream', upstream];
  const listening = ['--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0'];
  const [served, tabled, asJson] = await Promise.all([
    runSwivel(['serve', ...flags, ...listening], { wrap }),
    runSwivel(['check', ...flags], { wrap }),
    runSwivel(['check', ...flags, '--json'], { wrap }),
  ]);
  const checked = JSON.parse(asJson.stdout) as Checked;
  for (const { code, stderr } of [served, tabled, asJson]) {
    assert.equal(code, 3, stderr);
    assert.match(stderr, /^swivel: NOTHING_SERVABLE: there is no certificate that can be served; \S.*$/m);
  }
  assert.equal(checked.ok, false);
  const inJson = [...checked.failures, ...checked.certificates.flatMap(({ error }) => error ?? [])];
  for (const reason of reasons) {
    const { code, file } = reason;
    assert.ok(tells(served.stderr, reason), `serve does not tell ${code} of ${file}:\n${served.stderr}`);
    assert.ok(tells(tabled.stdout, reason), `check does not tell ${code} of ${file}:\n${tabled.stdout}`);
    const found = inJson.find((one) => one.code === code && one.file === file);
    assert.ok(found, `check --json does not tell ${code} of ${file}:\n${asJson.stdout}`);
    assert.equal(found.remedy, catalogue[code].remedy);
  }
  assert.equal(inJson.length, reasons.length);
}

test('a directory that does not exist', bounded, async (t) => {
  const parent = await temporaryDirectory(t);
  await chmod(parent, 0o755);
  const file = join(parent, 'nowhere');
  await allThreeRefuse(file, [{ code: 'SOURCE_MISSING', file }]);
});

test('an empty directory', bounded, async (t) => {
  const file = await temporaryDirectory(t);
  await chmod(file, 0o755);
  await allThreeRefuse(file, [{ code: 'SOURCE_EMPTY', file }]);
});

test('a directory that may not be listed', bounded, async (t) => {
  if (!canDo(t, 'running as another user', [...wrap, process.execPath, '--version'])) return;
  const file = await temporaryDirectory(t);
  await chmod(file, 0);
  try {
    await allThreeRefuse(file, [{ code: 'SOURCE_UNREADABLE', file }]);
  } finally {
    await chmod(file, 0o755);
  }
});

test('nothing but bad certificates: every one is explained; a good one among them is served', bounded, async (t) => {
  if (!canDo(t, 'running as another user', [...wrap, process.execPath, '--version'])) return;
  const base = await temporaryDirectory(t);
  await chmod(base, 0o755);
  const directory = join(base, 'certs');
  await mkdir(directory);
  const authority = await createAuthority();
  const reasons: Reason[] = [];
  for (const [i, { code, blames, spoil, gone }] of badInputs.entries()) {
    const victim: Victim = await createVictim(directory, `case-${i}`, authority);
    await spoil(victim);
    if (!gone) reasons.push({ code, file: victim[blames] });
  }
  await allThreeRefuse(directory, reasons);

  await t.test('one good certificate is enough to start', async (t) => {
    const leaf = await authority.issue({ names: ['good.test'] });
    await writePair(directory, 'good', leaf);
    for (const extension of ['crt', 'key']) await chmod(join(directory, `good.${extension}`), 0o644);
    const swivel = await startSwivel(t, { certs: directory, upstream, wrap });
    const door = { port: swivel.port, ca: authority.certificatePem };
    assert.equal(await shownTo(door, 'good.test'), leaf.fingerprint256);
    assert.equal((await swivel.ready()).status, 200);
    const { certificates } = await swivel.status();
    assert.equal(certificates.length, reasons.length + 1);
    for (const { id, state, fingerprint256, lastError } of certificates) {
      if (id === 'good') assert.deepEqual([state, fingerprint256], ['serving', leaf.fingerprint256]);
      else assert.deepEqual([state, fingerprint256], ['rejected', null], `${id} ${lastError?.code}`);
    }
    const { code, stdout, stderr } = await runSwivel(['check', '--certs', directory, '--upstream', upstream], { wrap });
    assert.equal(code, 3);
    assert.match(stdout, /^good +ok /m);
    assert.match(stderr, /^swivel: CHECK_FAILED: /);
  });
});

test('a certificate that is not valid yet is nothing to start with, and no error of the files', bounded, async (t) => {
  const directory = await temporaryDirectory(t);
  const authority = await createAuthority();
  const notBefore = new Date(Date.now() + 3_600_000);
  await writePair(directory, 'tls', await authority.issue({ notBefore }));
  const flags = ['--certs', directory, '--upstream', upstream, '--listen', '127.0.0.1:0', '--admin', 'off'];
  const { code, stderr } = await runSwivel(['serve', ...flags]);
  assert.equal(code, 3);
  assert.ok(tells(stderr, { code: 'CERT_NOT_YET_VALID', file: join(directory, 'tls.crt') }), stderr);
});
