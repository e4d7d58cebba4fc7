import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Config, type Defaults, loadConfig, type Overrides } from '../../src/config/index.ts';
import { type ErrorCode, SwivelError } from '../../src/errors.ts';
import { defaultGate } from '../../src/rotation/index.ts';
import { temporaryDirectory } from '../support/files.ts';

const base: Overrides = { certs: ['/certs'], upstream: ['http://127.0.0.1:8080'] };

async function write(t: TestContext, text: string): Promise<string> {
  const path = join(await temporaryDirectory(t), 'swivel.yaml');
  await writeFile(path, text);
  return path;
}

async function load(t: TestContext, text: string, overrides = base, defaults: Defaults = {}): Promise<Config> {
  return loadConfig(await write(t, text), overrides, defaults);
}

interface Expected {
  readonly code: ErrorCode;
  readonly says?: RegExp;
  readonly remedy?: RegExp;
  /** Of the file. */
  readonly line?: number;
  /** The flag or variable, when the value is not in the file. */
  readonly from?: string;
}

/** Loads what must be refused, and looks at how it is told. */
async function refused(
  t: TestContext,
  text: string | null,
  expected: Expected,
  overrides = base,
): Promise<SwivelError> {
  const path = text === null ? undefined : await write(t, text);
  const error = await loadConfig(path, overrides).then(
    () => assert.fail(`accepted: ${text} ${JSON.stringify(overrides)}`),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof SwivelError, String(error));
  assert.equal(error.code, expected.code, error.line);
  assert.equal(error.exitCode, 2);
  assert.doesNotMatch(error.line, /\n/);
  if (expected.says) assert.match(error.message, expected.says);
  if (expected.remedy) assert.match(error.remedy, expected.remedy);
  if (expected.line !== undefined) assert.deepEqual(error.place, { file: path, line: expected.line }, error.line);
  if (expected.from !== undefined) assert.deepEqual(error.place, { file: expected.from }, error.line);
  return error;
}

test('the defaults', async () => {
  const minute = 60_000;
  const day = 24 * 60 * minute;
  assert.deepEqual(await loadConfig(undefined, base), {
    listeners: [{ address: { host: '::', port: 8443 } }],
    certificates: [{ path: '/certs' }],
    trust: {},
    gate: defaultGate,
    rotation: { jitter: { min: 0, max: 0 } },
    expiry: { warn: [14 * day, 7 * day, day] },
    upstreams: { default: { targets: ['http://127.0.0.1:8080'] } },
    routes: [{ upstream: 'default' }],
    tls: {
      minVersion: 'TLSv1.2',
      unknownName: 'default',
      handshakeTimeout: 10_000,
      sessionTimeout: 5 * minute,
      sessionCache: 0,
      ticketKeyLifetime: day / 2,
    },
    drain: { timeout: 30_000, spread: 5000, upgraded: 60 * minute, untrusted: 'drain', readinessDelay: 0 },
    watch: { mode: 'auto', resync: 30_000, pollInterval: 2000 },
    admin: { address: { host: '127.0.0.1', port: 9901 }, readiness: ['expired'] },
    proxy: {
      headersTimeout: 15_000,
      idleTimeout: 75_000,
      connectTimeout: 5000,
      responseTimeout: minute,
      bodyTimeout: 60 * minute,
      failTimeout: 5000,
      maxHeaderSize: 32 * 1024,
      maxConcurrentStreams: 128,
      trustedProxies: [],
      clientCertificateHeaders: {},
    },
    log: { level: 'info', format: 'auto', access: false },
    process: { inspect: false, coreDumps: false },
    workers: 'auto',
  });
});

test('one upstream needs no routes, and gets the only one there can be', async (t) => {
  const { routes } = await load(t, 'upstreams: { legacy: { targets: ["http://127.0.0.1:1"] } }', { certs: ['/c'] });
  assert.deepEqual(routes, [{ upstream: 'legacy' }]);
});

test('an unknown key is named with its place and the nearest known one', async (t) => {
  const code = 'CONFIG_UNKNOWN_KEY';
  const cases: [string, number, RegExp, RegExp][] = [
    ['log: {}\nlistner: []\n', 2, /"listner"/, /^did you mean "listeners"\?$/],
    ['tls:\n  ciphers: A\n  minVerson: TLSv1.3\n', 3, /"tls\.minVerson"/, /^did you mean "minVersion"\?$/],
    ['routes:\n  - path: /\n    upstrem: a\n', 3, /"routes\.0\.upstrem"/, /^did you mean "upstream"\?$/],
    ['upstreams:\n  a:\n    target: [x]\n', 3, /"upstreams\.a\.target"/, /^did you mean "targets"\?$/],
    ['log: {}\n\nfrobnicate: 1\n', 3, /"frobnicate"/, /^known keys here: listeners, certificates, trust, gate, /],
  ];
  for (const [text, line, says, remedy] of cases) {
    await refused(t, text, { code, line, says, remedy }, { certs: ['/certs'] });
  }
  // The mistyped key is told, not what is missing because of it.
  await refused(t, 'certificate:\n  - path: /certs\n', { code, line: 1, remedy: /"certificates"/ }, {});
});

test('a wrong value in the file is told with its line', async (t) => {
  const code = 'CONFIG_INVALID';
  const wrong: [string, number, RegExp][] = [
    ['drain:\n  timeout: 30\n', 2, /^drain\.timeout: must be a duration/],
    ['drain:\n  spread: 1s\n  timeout: soon\n', 3, /^drain\.timeout: must be a duration/],
    ['tls: { ticketKeyLifetime: 0s }', 1, /^tls\.ticketKeyLifetime: must be at least 1s/],
    ['tls: { sessionCache: -1 }', 1, /^tls\.sessionCache: must be a whole number of sessions from 0 to 1000000/],
    ['tls: { sessionCache: 1000001 }', 1, /^tls\.sessionCache: must be a whole number/],
    ['tls: { sessionCache: 0.5 }', 1, /^tls\.sessionCache: must be a whole number/],
    ['tls: { sessionCache: on }', 1, /^tls\.sessionCache: must be a whole number/],
    ['tls: { ticketKeyFile: "" }', 1, /^tls\.ticketKeyFile: /],
    ['watch: { resync: 597h }', 1, /^watch\.resync: must be between 10ms and 596h/],
    ['watch: { pollInterval: 0s }', 1, /^watch\.pollInterval: must be between 10ms and 596h/],
    ['drain: { timeout: 597h }', 1, /^drain\.timeout: must not be longer than 596h/],
    ['\nproxy: { maxHeaderSize: 64kb }', 2, /^proxy\.maxHeaderSize: must be a size/],
    ['watch:\n  mode: never\n', 2, /^watch\.mode: .*"auto"/],
    ['tls:\n  minVersion: TLSv1.1\n', 2, /^tls\.minVersion: .*"TLSv1\.2"/],
    ['log:\n  access: maybe\n', 2, /^log\.access: /],
    ['listeners: []', 1, /^listeners: /],
    ['listeners:\n  - address: "::1:8443"\n', 2, /^listeners\.0\.address: must be \[HOST:\]PORT/],
    ['admin:\n  address: nope\n', 2, /^admin\.address: must be .*off/],
    ['drain: 30s', 1, /^drain: /],
  ];
  for (const [text, line, says] of wrong) await refused(t, text, { code, line, says });
  const certificates: [string, RegExp][] = [
    ['{ names: [a.test] }', /needs one of path, cert and key, pkcs12, module/],
    ['{ path: /c, cert: /c.crt, key: /c.key }', /needs one of path, cert and key, pkcs12, module/],
    ['{ cert: /c.crt }', /cert and key belong together/],
    ['{ path: /c, passphraseFile: /p }', /NAME\.pass/],
    ['{ path: /c, names: ["*"] }', /must be a host name/],
    ['{ cert: /c.crt, key: /c.key, development: [a] }', /development goes with path/],
  ];
  for (const [one, says] of certificates) {
    await refused(t, `log: {}\ncertificates:\n  - ${one}\n`, { code, says, line: 3 }, { upstream: ['http://a'] });
  }
  // A flag for one setting of a section does not hide that the section is wrong.
  await refused(t, 'log: {}\ndrain: soon\n', { code, says: /^drain: /, line: 2 }, { ...base, drainTimeout: '1s' });
});

test('a wrong value of a flag is told with the flag, of a variable with the variable', async (t) => {
  const code = 'CONFIG_INVALID';
  const wrong: [string, Overrides][] = [
    ['--listen', { listen: ['8443', '::1:8443'] }],
    ['--admin', { admin: 'nope' }],
    ['--certs', { certs: [''] }],
    ['--upstream', { upstream: ['ftp://a'] }],
    ['--drain-timeout', { drainTimeout: '30' }],
    ['--log-level', { logLevel: 'loud' }],
    ['--log-format', { logFormat: 'xml' }],
    ['--workers', { workers: 'many' }],
    ['--workers', { workers: '0' }],
  ];
  for (const [from, overrides] of wrong) await refused(t, 'log: {}', { code, from }, { ...base, ...overrides });
  const variables = { '--drain-timeout': 'SWIVEL_DRAIN_TIMEOUT' };
  await refused(t, null, { code, from: 'SWIVEL_DRAIN_TIMEOUT' }, { ...base, drainTimeout: '30', variables });
});

test('what is not YAML is told with its line', async (t) => {
  const code = 'CONFIG_SYNTAX';
  await refused(t, 'log: {}\ntls: {}\ntls: {}\n', { code, line: 3 });
  await refused(t, 'log: {}\ntls: "open\n', { code });
  await refused(t, 'log: {}\n---\ntls: {}\n', { code });
  await refused(t, 'tls: *nowhere\n', { code });
  const bomb = ['a: &a [x, x, x, x, x, x, x, x, x, x]'];
  for (const [from, to] of ['ab', 'bc', 'cd']) bomb.push(`${to}: &${to} [${Array(10).fill(`*${from}`).join(', ')}]`);
  await refused(t, bomb.join('\n'), { code });
  await refused(t, '[1]', { code: 'CONFIG_INVALID', says: /not a mapping/ });
  await refused(t, 'just text', { code: 'CONFIG_INVALID', says: /not a mapping/ });
});

test('a file that cannot be read', async (t) => {
  const directory = await temporaryDirectory(t);
  for (const path of [directory, join(directory, 'none.yaml')]) {
    await assert.rejects(loadConfig(path, base), { code: 'CONFIG_UNREADABLE', place: { file: path }, exitCode: 2 });
  }
});

test('what has to be said and is not', async (t) => {
  const code = 'CONFIG_INVALID';
  const certificates = { code, says: /^certificates is missing$/, remedy: /--certs DIR/ } as const;
  const upstreams = { code, says: /^upstreams is missing$/, remedy: /--upstream URL/ } as const;
  for (const text of [null, '', '# nothing\n']) {
    await refused(t, text, certificates, { upstream: ['http://a'] });
    await refused(t, text, upstreams, { certs: ['/c'] });
  }
  await refused(t, 'upstreams: {}', { code, says: /at least one upstream/ }, { certs: ['/c'] });
  const noUpstream = 'upstreams: { a: { targets: ["http://a"] } }\nroutes:\n  - { hosts: [a.test] }\n';
  await refused(t, noUpstream, { code, says: /^routes\.0\.upstream is missing$/, line: 3 }, { certs: ['/c'] });
});

test('routes and upstreams belong together', async (t) => {
  const code = 'CONFIG_INVALID';
  const two = 'log: {}\nupstreams:\n  legacy: { targets: ["http://a"] }\n  fresh: { targets: ["http://b"] }\n';
  const certs = { certs: ['/c'] };
  await refused(t, two, { code, says: /several upstreams \(legacy, fresh\)/, remedy: /add routes/, line: 2 }, certs);
  const says = /routes\.1\.upstream: there is no upstream/;
  const mistyped = `${two}routes:\n  - { path: /a, upstream: fresh }\n  - { upstream: legcy }\n`;
  await refused(t, mistyped, { code, says, remedy: /^did you mean "legacy"\?$/, line: 7 }, certs);
  const unlike = `${two}routes:\n  - { path: /a, upstream: fresh }\n  - { upstream: something }\n`;
  await refused(t, unlike, { code, says, remedy: /^there are: legacy, fresh$/, line: 7 }, certs);
});

test('flags win over the file, the file over the defaults of the image', async (t) => {
  const file = [
    'listeners: [{ address: "1.2.3.4:1" }, { address: "1.2.3.4:2" }]',
    'certificates: [{ path: /file }]',
    'upstreams: { a: { targets: ["http://a"] }, b: { targets: ["http://b"] } }',
    'routes: [{ path: /b, upstream: b }, { upstream: a }]',
    'drain: { timeout: 1s, spread: 2s }',
    'log: { level: warn, access: true }',
    'admin: { tokenFile: /token }',
  ].join('\n');
  const image = { certs: ['/image'], admin: '0.0.0.0:9901' };

  const plain = await load(t, file, {}, image);
  assert.deepEqual(plain.certificates, [{ path: '/file' }]);
  assert.deepEqual(plain.admin, {
    address: { host: '0.0.0.0', port: 9901 },
    tokenFile: '/token',
    readiness: ['expired'],
  });
  assert.deepEqual(
    plain.listeners.map(({ address }) => address.port),
    [1, 2],
  );
  assert.deepEqual(plain.drain, {
    timeout: 1000,
    spread: 2000,
    upgraded: 3_600_000,
    untrusted: 'drain',
    readinessDelay: 0,
  });

  const flags = {
    listen: ['7'],
    certs: ['/flag', '/other'],
    upstream: ['http://x', 'http://y'],
    drainTimeout: '9s',
    logLevel: 'error',
    admin: 'off',
  };
  const flagged = await load(t, file, flags, image);
  assert.deepEqual(flagged.listeners, [{ address: { host: '::', port: 7 } }]);
  assert.deepEqual(flagged.certificates, [{ path: '/flag' }, { path: '/other' }]);
  assert.deepEqual(flagged.upstreams, { default: { targets: ['http://x', 'http://y'] } });
  assert.deepEqual(flagged.routes, [{ upstream: 'default' }]);
  assert.deepEqual(flagged.drain, { ...plain.drain, timeout: 9000 });
  assert.deepEqual(flagged.log, { level: 'error', access: true, format: 'auto' });
  assert.deepEqual(flagged.admin, { ...plain.admin, address: 'off' });

  const silent = await load(t, '', { upstream: ['http://a'] }, image);
  assert.deepEqual(silent.certificates, [{ path: '/image' }]);
  assert.deepEqual(silent.admin.address, { host: '0.0.0.0', port: 9901 });
  const own = await load(t, 'admin: { address: "5" }', base, image);
  assert.deepEqual(own.admin.address, { host: '127.0.0.1', port: 5 });
});

test('a target is a plaintext origin and nothing more', async (t) => {
  for (const url of ['http://127.0.0.1:8080', 'http://app', 'http://app/', 'http://[::1]:8080', 'builtin:demo']) {
    const { upstreams } = await loadConfig(undefined, { ...base, upstream: [url] });
    assert.deepEqual(upstreams['default']?.targets, [url]);
  }
  const says = /^upstreams\.default\.targets\.0: must be a plaintext URL without a path/;
  const wrong = [
    'https://a',
    'http://a/b',
    'http://a?q',
    'http://a#f',
    'ftp://a',
    'unix:/run/a',
    'a:80',
    '//a',
    '',
    'http://',
  ];
  const secrets = ['http://user:hunter2@a', 'http://hunter2@a', 'http://:hunter2@a'];
  for (const url of [...wrong, ...secrets]) {
    const error = await refused(
      t,
      null,
      { code: 'CONFIG_INVALID', says, from: '--upstream' },
      { ...base, upstream: [url] },
    );
    assert.doesNotMatch(error.line, /hunter2/);
  }
});

test('addresses to listen on', async (t) => {
  const good: Record<string, { host: string; port: number }> = {
    '8443': { host: '::', port: 8443 },
    '0': { host: '::', port: 0 },
    '127.0.0.1:1': { host: '127.0.0.1', port: 1 },
    'localhost:65535': { host: 'localhost', port: 65_535 },
    '[::]:8443': { host: '::', port: 8443 },
    '[::1]:8443': { host: '::1', port: 8443 },
  };
  for (const [text, address] of Object.entries(good)) {
    assert.deepEqual((await loadConfig(undefined, { ...base, listen: [text] })).listeners, [{ address }]);
  }
  const says = /must be \[HOST:\]PORT/;
  for (const text of ['', ':8443', '65536', '-1', '::1:8443', '[::1]', '[1.2.3.4]:1', 'http://a:1', 'a', 'a:', 'off']) {
    await refused(t, null, { code: 'CONFIG_INVALID', says, from: '--listen' }, { ...base, listen: [text] });
  }
});

test('peers to trust are addresses and CIDR ranges', async (t) => {
  const good = ['10.0.0.0/8', '10.0.0.1', '0.0.0.0/0', '::1', 'fd00::/8', '::/128', '1.2.3.4/32'];
  const { proxy } = await load(t, JSON.stringify({ proxy: { trustedProxies: good } }));
  assert.deepEqual(proxy.trustedProxies, good);
  for (const text of [
    '',
    'app',
    '10.0.0.0/33',
    '::/129',
    '10.0.0.0/',
    '10.0.0.0/8/8',
    '10.0.0.0/-1',
    '10.0.0/8',
    '/8',
  ]) {
    const says = /^proxy\.trustedProxies\.0: must be an IP address or a CIDR range/;
    await refused(t, JSON.stringify({ proxy: { trustedProxies: [text] } }), { code: 'CONFIG_INVALID', says });
  }
});

test('a secret in the wrong place comes out in no error', async (t) => {
  const upstream = { upstream: ['http://a'] };
  const texts = [
    'certificates: [{ cert: a, key: b, passphrase: hunter2 }]',
    'certificates: [{ path: a, passphraseFile: hunter2 }]',
    'certificates: [{ cert: a, key: b, passphraseFile: [hunter2] }]',
    'certificates: [{ path: /c }]\nadmin: { token: hunter2 }',
    'certificates: [{ path: /c }]\nadmin: { tokenFile: [hunter2] }',
    'certificates: [{ path: /c }]\nadmin: { tokenFile: { value: hunter2 } }',
    'certificates: [{ path: /c }]\nadmin: hunter2',
  ];
  for (const text of texts) {
    const path = await write(t, text);
    await assert.rejects(loadConfig(path, upstream), (error: SwivelError) => {
      assert.match(error.code, /^CONFIG_/);
      assert.doesNotMatch(error.line, /hunter2/);
      return true;
    });
  }
});

test('the configuration of npm start is valid', async () => {
  const config = await loadConfig(fileURLToPath(new URL('../../config/demo.yaml', import.meta.url)), {});
  assert.deepEqual(config.upstreams, { demo: { targets: ['builtin:demo'] } });
});
