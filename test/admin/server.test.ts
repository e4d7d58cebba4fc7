import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { rm, writeFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { type AdminOptions, AdminServer } from '../../src/admin/index.ts';
import type { WorkerStatus } from '../../src/cluster/index.ts';
import { temporaryDirectory, writePair } from '../support/files.ts';
import { createAuthority } from '../support/pki.ts';
import { startAdmin } from './support/admin.ts';

const bounded = { timeout: 20_000 };

test('health and readiness', bounded, async (t) => {
  const admin = await startAdmin(t, await temporaryDirectory(t));
  const health = await admin.ask('GET', '/healthz');
  assert.deepEqual([health.status, health.text, health.headers['cache-control']], [200, 'ok\n', 'no-store']);

  for (const ready of [false, true, false]) {
    admin.conditions.set('Serving', ready, ready ? 'Listening' : 'Stopping', 'a message');
    const { status, text, headers } = await admin.ask('GET', '/readyz?verbose');
    assert.equal(status, ready ? 200 : 503);
    assert.equal(headers['content-type'], 'application/json');
    const body = JSON.parse(text) as { ready: boolean; conditions: Record<string, string>[] };
    assert.deepEqual(Object.keys(body), ['ready', 'conditions']);
    assert.equal(body.ready, ready);
    const [condition] = body.conditions;
    assert.deepEqual(Object.keys(condition ?? {}), ['type', 'status', 'reason', 'message', 'lastTransitionTime']);
    assert.equal(condition?.['status'], ready ? 'True' : 'False');
    assert.match(condition?.['lastTransitionTime'] ?? '', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  }
});

test('methods and paths that there are not; HEAD is GET without a body', bounded, async (t) => {
  const admin = await startAdmin(t, await temporaryDirectory(t));
  for (const path of ['/', '/nope', '/status/', '//status', '/constructor', '/__proto__', '/toString']) {
    assert.equal((await admin.ask('GET', path)).status, 404, path);
  }
  for (const path of ['/healthz', '/readyz', '/metrics', '/status']) {
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS']) {
      const { status, headers } = await admin.ask(method, path);
      assert.deepEqual([status, headers['allow']], [405, 'GET'], `${method} ${path}`);
    }
    const [get, head] = [await admin.ask('GET', path), await admin.ask('HEAD', path)];
    assert.deepEqual([head.status, head.text], [get.status, ''], path);
    assert.equal(head.headers['content-type'], get.headers['content-type']);
  }
  for (const method of ['GET', 'HEAD', 'DELETE']) {
    const { status, headers } = await admin.ask(method, '/reload');
    assert.deepEqual([status, headers['allow']], [405, 'POST'], method);
  }
});

test('reload answers what changed and what was rejected, and status tells what is served', bounded, async (t) => {
  const directory = await temporaryDirectory(t);
  const authority = await createAuthority();
  const leaf = await authority.issue({ names: ['app.test'] });
  await writePair(directory, 'app', leaf);
  const admin = await startAdmin(t, directory);
  const reload = async () => {
    const { status, text } = await admin.ask('POST', '/reload');
    assert.equal(status, 200, text);
    return JSON.parse(text) as { generation: number; results: Record<string, string>[] };
  };
  assert.deepEqual(await reload(), { generation: 1, results: [{ certificate: 'app', result: 'applied' }] });
  assert.deepEqual(await reload(), { generation: 1, results: [{ certificate: 'app', result: 'unchanged' }] });
  await writeFile(join(directory, 'app.key'), 'no key');
  const spoilt = await reload();
  const [{ message, remedy, ...result } = {}] = spoilt.results;
  assert.deepEqual(result, { certificate: 'app', result: 'rejected', code: 'KEY_UNPARSABLE' });
  assert.ok(message && remedy);
  assert.equal(spoilt.generation, 1);

  const answer = await admin.ask('GET', '/status');
  assert.equal(answer.status, 200);
  assert.doesNotMatch(answer.text, /PRIVATE KEY/);
  const status = JSON.parse(answer.text);
  const has = (value: object, keys: string) => {
    for (const key of keys.split(' ')) assert.ok(Object.hasOwn(value, key), key);
  };
  has(status, 'version generation startedAt ready conditions certificates connections rotations workers');
  assert.deepEqual([status.version, status.generation, status.startedAt], ['1.2.3', 1, new Date(0).toISOString()]);
  const [certificate] = status.certificates;
  has(certificate, 'id source names fingerprint256 serialNumber issuer keyType notBefore notAfter state generation');
  has(certificate, 'activatedAt diskMatchesServed lastError');
  assert.equal(certificate.fingerprint256, leaf.fingerprint256);
  assert.deepEqual([certificate.state, certificate.diskMatchesServed], ['rejected', false]);
  assert.equal(certificate.lastError.code, 'KEY_UNPARSABLE');
  has(status.connections, 'open draining byCertificate');
  const told = (status.workers as WorkerStatus[]).map(({ id, pid, generation, state }) => ({
    id,
    pid,
    generation,
    state,
  }));
  assert.deepEqual(told, [{ id: 1, pid: process.pid, generation: 1, state: 'serving' }]);
  const [rotation] = status.rotations;
  has(rotation, 'at certificate from to trigger durationMs drained');
  assert.deepEqual([rotation.from, rotation.to, rotation.trigger], [null, leaf.fingerprint256, 'api']);
});

test('a reload is refused to a page, and to another machine without the token of the moment', bounded, async (t) => {
  const directory = await temporaryDirectory(t);
  const tokenFile = join(directory, 'token');
  const admin = await startAdmin(t, directory, { tokenFile });
  const pages: Record<string, string>[] = [{ host: 'evil.test' }, { origin: 'http://localhost' }, { origin: 'null' }];
  for (const headers of pages) {
    const { status, text } = await admin.ask('POST', '/reload', headers);
    const { code, remedy } = JSON.parse(text) as Record<string, string>;
    assert.deepEqual([status, code], [403, 'ADMIN_REFUSED']);
    assert.match(remedy ?? '', /token/);
  }

  // A connection to an address of this machine other than loopback comes from there too.
  const outside = Object.values(networkInterfaces())
    .flat()
    .find((one) => one?.family === 'IPv4' && !one.internal);
  if (!outside) return t.diagnostic('this machine has no address but loopback');
  const other = await startAdmin(t, directory, { host: outside.address, tokenFile });
  const far = async (authorization?: string) =>
    (await other.ask('POST', '/reload', authorization === undefined ? {} : { authorization })).status;
  assert.equal(await far('Bearer one'), 403, 'there is no token file');
  await writeFile(tokenFile, ' \n');
  for (const authorization of ['Bearer ', 'Bearer', '', undefined]) {
    assert.equal(await far(authorization), 403, 'the token file is empty');
  }
  await writeFile(tokenFile, 'one\n');
  assert.equal(await far('Bearer one'), 200);
  assert.equal(await far('Bearer two'), 403);
  assert.equal(await far(), 403);
  await writeFile(tokenFile, 'two\n');
  assert.equal(await far('Bearer one'), 403, 'the token was rotated');
  assert.equal(await far('Bearer two'), 200);
  await rm(tokenFile);
  assert.equal(await far('Bearer two'), 403, 'the token file is gone');
});

test('while it stops, a reload says so', bounded, async (t) => {
  const admin = await startAdmin(t, await temporaryDirectory(t));
  admin.reconciler.stop();
  const { status, text } = await admin.ask('POST', '/reload');
  assert.equal(status, 503);
  assert.equal((JSON.parse(text) as { code: string }).code, 'SHUTTING_DOWN');
});

test('an address that is taken', bounded, async (t) => {
  const { port } = await startAdmin(t, await temporaryDirectory(t));
  const options: AdminOptions = { address: { host: '127.0.0.1', port } };
  const second = new AdminServer(options, {} as never, {} as never);
  await assert.rejects(second.open(), { code: 'LISTEN_FAILED', exitCode: 1 });
});

test('the metrics are Prometheus text', bounded, async (t) => {
  const directory = await temporaryDirectory(t);
  const authority = await createAuthority();
  await writePair(directory, 'app', await authority.issue());
  const admin = await startAdmin(t, directory);
  await admin.reconciler.runOnce('start');
  admin.metrics.requests.inc({ method: 'GET', code: '200' });
  admin.metrics.requestDuration.observe(0.02);
  admin.metrics.upstreamTargetHealthy.set({ upstream: 'a"b\\c\nd', target: 'http://a' }, 1);
  const { status, headers, text } = await admin.ask('GET', '/metrics');
  assert.equal(status, 200);
  assert.match(String(headers['content-type']), /^text\/plain; version=0\.0\.4/);
  checkExposition(text);
  assert.match(
    text,
    /^swivel_certificate_info\{certificate="app",fingerprint256="[0-9a-f]{64}",key_type="ec-p256"\} 1$/m,
  );
  assert.match(text, /^process_cpu_seconds_total /m);
  const promtool = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8', timeout: 10_000 });
  if (promtool.error) t.diagnostic('promtool is not installed');
  else assert.equal(promtool.status === 1, false, promtool.stdout + promtool.stderr);
});

/** Every line is a comment or a sample of the family that was announced last, whose labels and value are well-formed. */
function checkExposition(text: string): void {
  assert.ok(text.endsWith('\n'));
  const seen = new Set<string>();
  const samples = new Set<string>();
  let family = { name: '', type: '' };
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const comment = /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$/.exec(line);
    if (comment) {
      const [, kind, name = '', rest = ''] = comment;
      if (kind === 'HELP') {
        assert.ok(!seen.has(name), `two families ${name}`);
        seen.add(name);
        family = { name, type: '' };
      } else {
        assert.equal(name, family.name, line);
        assert.match(rest, /^(counter|gauge|histogram|summary)$/);
        family = { name, type: rest };
      }
      continue;
    }
    const sample = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (-?[0-9.eE+-]+|[+-]Inf|Na[Nn])$/.exec(line);
    assert.ok(sample, `no sample: ${line}`);
    const [, name = '', labels = ''] = sample;
    const suffix = family.type === 'histogram' ? '(_bucket|_sum|_count)' : '';
    assert.match(name, new RegExp(`^${family.name}${suffix}$`), line);
    assert.match(labels, /^([a-zA-Z_][a-zA-Z0-9_]*="([^"\\\n]|\\[\\"n])*"(,(?!$)|$))*$/, line);
    assert.ok(!samples.has(name + labels), `twice: ${line}`);
    samples.add(name + labels);
  }
  assert.ok(samples.size > 30);
}
