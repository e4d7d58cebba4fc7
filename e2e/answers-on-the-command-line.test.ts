import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { chmod, mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { catalogue, type ErrorCode } from '../src/errors.ts';
import { temporaryDirectory, writePair } from '../test/support/files.ts';
import { createAuthority } from '../test/support/pki.ts';
import { bounded, type Ended, runSwivel, startSwivel, writeConfig } from './support/swivel.ts';

const upstream = ['--upstream', 'http://127.0.0.1:9'];

/** A command that failed: nothing on stdout, one line on stderr, and the exit code of its error. */
function failed({ code, stdout, stderr }: Ended, expected: ErrorCode, says = /./): void {
  assert.match(stderr, new RegExp(`^swivel: ${expected}: .+; .+\n$`), stderr);
  assert.match(stderr, says);
  assert.equal(code, catalogue[expected].exit, stderr);
  assert.equal(stdout, '');
}

/** An HTTP server of somebody else. */
async function startStranger(t: TestContext, status: number, body: string): Promise<string> {
  const server = createServer((_, response) => response.writeHead(status).end(body));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test('a wrong command line is told in one line', bounded, async () => {
  const wrong: [string[], RegExp][] = [
    [['frobnicate'], /frobnicate/],
    [['--bogus'], /bogus/],
    [['check', '--bogus'], /bogus/],
    [['status', '--certs', '/c'], /certs/],
    [['serve', 'extra'], /extra/],
    [['check', '--certs'], /certs/],
    [['check', '--config'], /config/],
    [['check', '--config', 'a', '--config', 'b'], /--config/],
    [['check', '--log-level', 'loud'], /log-level.*loud.*silent/],
    [['check', '--no-certs'], /no-certs/],
    [['dev-cert'], /out/],
    [['dev-cert', '--out'], /out/],
    [['status', '--admin', 'off'], /admin endpoints are off/],
  ];
  await Promise.all(wrong.map(async ([args, says]) => failed(await runSwivel(args), 'USAGE', says)));
  // The line is English, as is the rest of it, whatever the language of the user.
  failed(await runSwivel(['--bogus'], { env: { LC_ALL: 'de_DE.UTF-8' } }), 'USAGE', /Unknown argument: bogus/);
});

test('version and help go to stdout', bounded, async () => {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  const shown = await runSwivel(['--version']);
  assert.deepEqual([shown.code, shown.stdout, shown.stderr], [0, `${version}\n`, '']);
  const help = await runSwivel(['--help']);
  assert.deepEqual([help.code, help.stderr], [0, '']);
  for (const word of [
    'serve',
    'check',
    'status',
    'reload',
    'dev-cert',
    '--certs',
    '--upstream',
    '--listen',
    '--admin',
  ]) {
    assert.ok(help.stdout.includes(word), word);
  }
});

test('a wrong configuration ends serve and check alike', bounded, async (t) => {
  const config = await writeConfig(t, 'log: {}\nlistner: []\n');
  for (const command of ['serve', 'check']) {
    const args = [command, '--config', config, '--certs', '/nowhere', ...upstream];
    failed(await runSwivel(args), 'CONFIG_UNKNOWN_KEY', /swivel\.yaml:2; did you mean "listeners"\?$/m);
  }
  failed(await runSwivel(['check', '--certs', '/c']), 'CONFIG_INVALID', /--upstream URL/);
  failed(await runSwivel(['check', '--json']), 'CONFIG_INVALID', /--certs DIR/);
  failed(await runSwivel(['check', ...upstream, '--certs', '/c', '--workers', '0']), 'CONFIG_INVALID', /--workers/);
  failed(await runSwivel(['check', '--config', join(config, 'none')]), 'CONFIG_UNREADABLE');
});

test('check: 0 for what can be served, 3 for what cannot; the JSON tells the same', bounded, async (t) => {
  const directory = await temporaryDirectory(t);
  const leaf = await (await createAuthority()).issue({ names: ['app.test'] });
  await writePair(directory, 'app', leaf);
  // Set by the platform, not by a person: ignored.
  const env = { SWIVEL_CERTS: directory, SWIVEL_UPSTREAM: 'http://127.0.0.1:9', SWIVEL_PORT: 'tcp://1', SWIVEL_X: '1' };
  const table = await runSwivel(['check'], { env });
  assert.deepEqual([table.code, table.stderr], [0, '']);
  assert.match(
    table.stdout,
    /^CERTIFICATE +RESULT +KEY +EXPIRES +NAMES\napp +ok +ec-p256 +\d{4}-\d\d-\d\d +app\.test\n/,
  );

  const good = await runSwivel(['check', '--json'], { env });
  assert.deepEqual([good.code, good.stderr], [0, '']);
  const report = JSON.parse(good.stdout);
  assert.deepEqual(Object.keys(report), ['ok', 'certificates', 'trust', 'failures', 'warnings']);
  const [{ source, notAfter, warnings, ...certificate }] = report.certificates;
  const { fingerprint256 } = leaf;
  assert.deepEqual(certificate, { id: 'app', state: 'serving', names: ['app.test'], fingerprint256, error: null });
  assert.deepEqual(
    [report.ok, source, new Date(notAfter).getTime()],
    [true, directory, leaf.x509.validToDate.getTime()],
  );
  assert.ok(Array.isArray(warnings));

  await writeFile(join(directory, 'bad.crt'), leaf.chainPem);
  const bad = await runSwivel(['check', '--json'], { env });
  assert.equal(bad.code, 3);
  assert.match(bad.stderr, /^swivel: CHECK_FAILED: .*\n$/);
  const { ok, certificates } = JSON.parse(bad.stdout);
  assert.equal(ok, false);
  assert.equal(certificates.find(({ id }: { id: string }) => id === 'bad').error.code, 'KEY_MISSING');
  // The flag wins over the environment.
  const nowhere = await runSwivel(['check', '--certs', join(directory, 'nowhere')], { env });
  assert.equal(nowhere.code, 3);
  assert.match(nowhere.stderr, /^swivel: NOTHING_SERVABLE: /);
});

test('dev-cert writes what serve accepts, and says what cannot be written', bounded, async (t) => {
  const directory = await temporaryDirectory(t);
  const out = join(directory, 'new', 'certs');
  const names = ['--name', 'app.test', '--name', '*.app.test', '--name', '127.0.0.1'];
  const made = await runSwivel(['dev-cert', '--out', out, ...names]);
  assert.deepEqual([made.code, made.stderr], [0, '']);
  assert.match(made.stdout, /for app\.test, \*\.app\.test, 127\.0\.0\.1, until \d{4}-\d\d-\d\d\n.*ca\.crt\n$/);
  const files = await readdir(out);
  for (const file of ['tls.crt', 'tls.key', 'ca.crt']) assert.ok(files.includes(file), file);
  assert.equal((await stat(join(out, 'tls.key'))).mode & 0o077, 0, 'only its owner reads the key');
  assert.equal((await runSwivel(['check', '--certs', out, ...upstream])).code, 0);

  const file = join(directory, 'file');
  await writeFile(file, '');
  for (const where of [file, join(file, 'below')]) {
    failed(await runSwivel(['dev-cert', '--out', where]), 'OUTPUT_UNWRITABLE', /--out/);
  }
  const notNames = ['', 'a b', '*', 'https://a.test', 'a..b'].map(async (name) => {
    failed(await runSwivel(['dev-cert', '--out', directory, '--name', name]), 'USAGE', /--name/);
  });
  await Promise.all(notNames);
  if (process.getuid?.() === 0) return t.diagnostic('the superuser may write everywhere');
  const closed = join(directory, 'closed');
  await mkdir(closed);
  await chmod(closed, 0o500);
  failed(await runSwivel(['dev-cert', '--out', closed]), 'OUTPUT_UNWRITABLE');
});

test('status and reload say when nobody answers, or somebody else does', bounded, async (t) => {
  const closing = createServer();
  await new Promise<void>((resolve) => closing.listen(0, '127.0.0.1', resolve));
  const { port } = closing.address() as AddressInfo;
  await new Promise((resolve) => closing.close(resolve));
  const strangers: [string, RegExp][] = [
    [`127.0.0.1:${port}`, /does not answer \(.*ECONNREFUSED/],
    ['not an address', /does not answer/],
    ['::1:1', /does not answer/],
    [await startStranger(t, 200, '<html>'), /is not a Swivel admin address: it answered 200/],
    [await startStranger(t, 200, '{"status":"ok"}'), /is not a Swivel admin address/],
    [await startStranger(t, 200, 'null'), /is not a Swivel admin address/],
    [await startStranger(t, 404, '[]'), /is not a Swivel admin address: it answered 404/],
    [await startStranger(t, 403, 'Forbidden'), /is not a Swivel admin address: it answered 403/],
  ];
  const commands = [['status'], ['status', '--ready'], ['reload']];
  const all = strangers.map(async ([admin, says], i) => {
    const command = commands[i % commands.length] ?? [];
    failed(await runSwivel([...command, '--admin', admin]), 'ADMIN_UNREACHABLE', says);
  });
  await Promise.all(all);
  const refusing = await startStranger(t, 403, '{"code":"ADMIN_REFUSED","message":"refused"}');
  failed(await runSwivel(['reload', '--admin', refusing]), 'ADMIN_REFUSED', /tokenFile/);
  const stopping = await startStranger(t, 503, '{"code":"SHUTTING_DOWN","message":"Swivel is stopping"}');
  failed(await runSwivel(['reload', '--admin', stopping]), 'SHUTTING_DOWN');
});

test('a running Swivel: status, reload and the end', bounded, async (t) => {
  const directory = await temporaryDirectory(t);
  const authority = await createAuthority();
  await writePair(directory, 'app', await authority.issue({ names: ['app.test'] }));
  const swivel = await startSwivel(t, { certs: directory, upstream: 'http://127.0.0.1:9' });
  const run = (...args: string[]) => runSwivel(args, { env: { SWIVEL_ADMIN: new URL(swivel.adminUrl).host } });

  const ready = await run('status', '--ready');
  assert.deepEqual([ready.code, ready.stdout, ready.stderr], [0, '', '']);
  const shown = await run('status');
  assert.equal(shown.code, 0, shown.stderr);
  assert.match(shown.stdout, /^Swivel \S+, ready, generation 1, 0 connections, 0 draining\n\nCERTIFICATE +STATE /);
  assert.match(shown.stdout, /^app +serving +yes +[0-9a-f]{16} /m);
  const asJson = await run('status', '--json');
  assert.equal(JSON.parse(asJson.stdout).certificates[0].id, 'app');

  const same = await run('reload');
  assert.deepEqual([same.code, same.stdout], [0, 'app: unchanged\ngeneration 1\n']);
  await writeFile(join(directory, 'app.key'), 'no key');
  const spoilt = await run('reload');
  assert.equal(spoilt.code, 3);
  assert.match(spoilt.stdout, /^app: rejected: KEY_UNPARSABLE: .+; .+\ngeneration 1\n$/);
  assert.match((await run('status')).stdout, /^app: KEY_UNPARSABLE: /m);

  const { code, signal } = await swivel.process.stop();
  assert.deepEqual([code, signal], [0, null]);
});
