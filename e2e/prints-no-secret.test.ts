import assert from 'node:assert/strict';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryDirectory, writeAtomically, writePair } from '../test/support/files.ts';
import { createAuthority, type Leaf } from '../test/support/pki.ts';
import {
  badInputs,
  createVictim,
  rightPassphrase,
  type Victim,
  writeFiles,
  wrongPassphrase,
} from './support/bad-input.ts';
import { openHttp1, shownTo } from './support/clients.ts';
import { startHeldUpstream } from './support/held-upstream.ts';
import { bounded, runSwivel, startSwivel, writeConfig } from './support/swivel.ts';

const token = 'tok-5f2b7c1e9a';

/** Everything that must not come out: passphrases, the token, and every line of every key, also as hex and without line ends. */
class Secrets {
  readonly #texts = new Map<string, string>([
    [token, 'the admin token'],
    [rightPassphrase, 'a passphrase'],
    [wrongPassphrase, 'a wrong passphrase'],
  ]);

  addKey(pem: string): void {
    const lines = pem
      .split(/\r?\n/)
      .filter((line) => line.length > 15 && !line.startsWith('-----') && !line.includes(':'));
    for (const line of lines) {
      this.#texts.set(line, 'a line of a private key');
      this.#texts.set(Buffer.from(line, 'base64').toString('hex').slice(0, 32), 'a line of a private key in hex');
    }
  }

  addLeaf(leaf: Leaf): void {
    for (const pem of [leaf.keyPem, leaf.keyPemTraditional]) this.addKey(pem);
  }

  /** That a text holds none of them. */
  absentFrom(what: string, text: string): void {
    for (const [secret, kind] of this.#texts) assert.ok(!text.includes(secret), `${what} holds ${kind}: ${secret}`);
    assert.doesNotMatch(text, /PRIVATE KEY-----\s*[A-Za-z0-9+/]{16}/, what);
    // Ticket keys are 48 random bytes that only the process knows: whatever could be one.
    assert.doesNotMatch(text, /"type":"Buffer"|[0-9a-f]{96}/, what);
  }
}

test('no key, passphrase or token comes out anywhere', bounded, async (t) => {
  const authority = await createAuthority();
  const base = await temporaryDirectory(t);
  const directory = join(base, 'certs');
  await mkdir(directory);
  const secrets = new Secrets();
  const victims: Victim[] = [];
  for (const i of badInputs.keys()) victims.push(await createVictim(directory, `case-${i}`, authority));
  const encrypted = await authority.issue({ names: ['encrypted.test'] });
  for (const leaf of [...victims.map(({ leaf }) => leaf), encrypted]) secrets.addLeaf(leaf);
  await writeFile(join(directory, 'encrypted.pass'), `${rightPassphrase}\n`);
  await writeFile(join(directory, 'encrypted.key'), encrypted.encryptedKeyPem(rightPassphrase));
  await writeFile(join(directory, 'encrypted.crt'), encrypted.chainPem);
  const tokenFile = join(base, 'token');
  await writeFile(tokenFile, `${token}\n`);
  const upstream = await startHeldUpstream(t);
  const swivel = await startSwivel(t, {
    certs: directory,
    upstream: upstream.url,
    config: { admin: { tokenFile }, log: { access: true } },
    flags: ['--log-level', 'debug'],
  });
  const door = { port: swivel.port, ca: authority.certificatePem };
  assert.equal(await shownTo(door, 'encrypted.test'), encrypted.fingerprint256);

  await t.test('in log, status, metrics and answers, whatever is wrong', async () => {
    const client = await openHttp1(t, door, 'encrypted.test');
    await client.get('/');
    for (const [i, { spoil }] of badInputs.entries()) await spoil(victims[i] as Victim);
    for (const name of ['key', 'crt', 'pass']) {
      // One file's content under the name of another, as a slip of the hand would have it.
      const from = name === 'pass' ? encrypted.keyPem : rightPassphrase;
      await writeAtomically(join(directory, `slip-${name}.${name}`), from);
      await writeAtomically(join(directory, `slip-${name}.key`), name === 'key' ? rightPassphrase : encrypted.keyPem);
    }
    const answers: string[] = [JSON.stringify(await swivel.reload())];
    const renewed = await authority.issue({ names: ['encrypted.test'] });
    secrets.addLeaf(renewed);
    await writeAtomically(join(directory, 'encrypted.key'), renewed.encryptedKeyPem(rightPassphrase, 'traditional'));
    await writeAtomically(join(directory, 'encrypted.crt'), renewed.chainPem);
    await swivel.process.line(({ event, to }) => event === 'rotation' && to === renewed.fingerprint256);
    const init = { method: 'POST', headers: { authorization: `Bearer ${token}` } };
    for (const path of ['/reload', '/status', '/readyz', '/nowhere']) {
      answers.push(await (await fetch(`${swivel.adminUrl}${path}`, init)).text());
    }
    answers.push(JSON.stringify(await swivel.status()), await swivel.metrics(), JSON.stringify(await swivel.ready()));
    for (const command of [['status'], ['status', '--json'], ['reload']]) {
      const { stdout, stderr } = await runSwivel([...command, '--admin', swivel.adminUrl]);
      answers.push(stdout, stderr);
    }
    for (const answer of answers) secrets.absentFrom('an answer', answer);
    assert.ok(swivel.process.stdout.includes('"level":"debug"'));
    secrets.absentFrom('the log', swivel.process.stdout);
    secrets.absentFrom('stderr', swivel.process.stderr);
  });

  await t.test('in what the system shows of the process', async () => {
    for (const file of ['cmdline', 'environ']) {
      secrets.absentFrom(file, await readFile(`/proc/${swivel.process.pid}/${file}`, 'latin1'));
    }
  });

  await t.test('from check and from a start that fails', async () => {
    const flags = ['--certs', directory, '--upstream', upstream.url];
    const bad = join(base, 'bad');
    await mkdir(bad);
    const victim = await createVictim(bad, 'encrypted', authority);
    secrets.addLeaf(victim.leaf);
    await badInputs.find(({ code }) => code === 'KEY_PASSPHRASE_WRONG')?.spoil(victim);
    const ended = await Promise.all([
      runSwivel(['check', ...flags]),
      runSwivel(['check', ...flags, '--json']),
      runSwivel(['serve', '--certs', bad, '--upstream', upstream.url, '--log-level', 'trace']),
    ]);
    for (const { code, stdout, stderr } of ended) {
      assert.equal(code, 3);
      secrets.absentFrom('check', stdout + stderr);
    }
  });

  await t.test('from a configuration that is wrong', async () => {
    const certificates = [{ cert: 'a.crt', key: encrypted.keyPem, passphrase: rightPassphrase }];
    const config = await writeConfig(t, { certificates, admin: { token } });
    const { code, stdout, stderr } = await runSwivel(['check', '--config', config]);
    assert.equal(code, 2);
    secrets.absentFrom('a configuration error', stdout + stderr);
  });

  for (const [i, { tidy }] of badInputs.entries()) {
    await tidy?.(victims[i] as Victim);
    await chmod((victims[i] as Victim).key, 0o600).catch(() => {});
    await writeFiles(victims[i] as Victim, (victims[i] as Victim).leaf);
  }
  await writePair(directory, 'last', await authority.issue({ names: ['last.test'] }));
  await swivel.process.line(({ event, certificate }) => event === 'rotation' && certificate === 'last');
  assert.equal((await swivel.process.stop()).code, 0);
  secrets.absentFrom('the whole log', swivel.process.stdout);
});
