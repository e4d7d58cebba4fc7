import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { inspect, promisify } from 'node:util';
import { PluginSource, type SourceMaterial } from '../../../src/certificates/index.ts';
import { SourceReader } from '../../../src/rotation/source-reader.ts';
import { temporaryDirectory, writeAtomically } from '../../support/files.ts';
import { exportPrivateKey, generateKeys } from '../../support/keys.ts';
import { answering, loading, moduleOf, pluginOf, processesOf } from '../plugin/support/plugins.ts';

const one = `{ id: 'a', certificatePem: 'certificate', keyPem: 'key' }`;
const good = answering(`{ identities: [${one}] }`);

/** The body of a plug-in module that writes a line to the descriptor of its channel. */
const writing = (line: string) =>
  `import { writeSync } from 'node:fs';\n${loading(`writeSync(3, '${line}\\n'); return new Promise(() => {});`)}`;

const failures = ({ findings }: SourceMaterial) => findings.map(({ code, severity }) => `${code} ${severity}`);

test('an identity is handed on with its id, its place and its secrets', async (t) => {
  const module = await moduleOf(
    t,
    answering(`{
      identities: [{ ...${one}, passphrase: 'open', names: ['a.test'] }, { ...${one}, id: 'b' }],
      askAgainAt: new Date(Date.UTC(2099, 0)),
      watch: ['certs', '/certs', 'certs'],
    }`),
  );
  const source = new PluginSource({ module });
  t.after(() => source.close());
  assert.deepEqual(source.watch, []);
  const material = await source.load();
  const [first, second] = material.identities;
  assert.ok(first && second);
  assert.equal(source.id, module);
  assert.deepEqual(first.files, { certificate: `${module}#a`, key: `${module}#a` });
  assert.equal(first.source, module);
  assert.equal(first.keyPem.reveal(), 'key');
  assert.equal(first.passphrase?.reveal(), 'open');
  assert.deepEqual(first.names, ['a.test']);
  assert.deepEqual([second.passphrase, second.names], [undefined, undefined]);
  assert.equal(material.askAgainAt, Date.UTC(2099, 0));
  assert.deepEqual(material.watch, [
    { directory: join(dirname(module), 'certs'), recursive: false },
    { directory: '/certs', recursive: false },
  ]);
  assert.deepEqual(source.watch, material.watch);
  assert.deepEqual(material.findings, []);
  assert.doesNotMatch(inspect(material, { depth: null, showHidden: true }), /'key'|'open'/);
});

test('the configuration reaches the factory, and its names go before those of the plug-in', async (t) => {
  const text = answering(`{ identities: [{ ...${one}, keyPem: JSON.stringify(options), names: ['a.test'] }] }`);
  const source = await pluginOf(t, text, { options: { token: [1, { deep: true }] }, names: ['b.test'] });
  const [identity] = (await source.load()).identities;
  assert.equal(identity?.keyPem.reveal(), '{"token":[1,{"deep":true}]}');
  assert.deepEqual(identity?.names, ['b.test']);
});

test('one bad identity among good ones is its own finding', async (t) => {
  const source = await pluginOf(t, answering(`{ identities: [${one}, { id: 'bad', keyPem: 7 }, 'nothing'] }`));
  const { identities, findings } = await source.load();
  assert.deepEqual(
    identities.map(({ id }) => id),
    ['a'],
  );
  assert.deepEqual(
    findings.map(({ code, severity, identity, message }) => ({ code, severity, identity, message })),
    [
      ['bad', 'identities[1].certificatePem is not a string'],
      ['#2', 'identities[2] is a string, not an object'],
    ].map(([identity, message]) => ({
      ...{ code: 'PLUGIN_INVALID', severity: 'error', identity },
      message: `${source.id}: ${message}`,
    })),
  );
});

test('a wrong askAgainAt is a warning, and the identities go on', async (t) => {
  const material = await (await pluginOf(t, answering(`{ identities: [${one}], askAgainAt: 1 }`))).load();
  assert.deepEqual(failures(material), ['PLUGIN_INVALID warning']);
  assert.equal(material.findings[0]?.identity, undefined);
  assert.equal(material.identities.length, 1);
  assert.equal(material.askAgainAt, undefined);
});

describe('whatever a plug-in does, another one goes on', { concurrency: 2 }, () => {
  let directory: string;
  let other: PluginSource;
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'swivel-test-'));
    const module = join(directory, 'good.mjs');
    await writeFile(module, good);
    other = new PluginSource({ module });
  });
  after(async () => {
    other.close();
    await rm(directory, { recursive: true });
  });
  const endless = { timeout: 300, memory: 32 };
  const patient = { timeout: 10_000, memory: 32 };
  for (const [what, text, options, code, message] of [
    ['loops for ever', loading('while (true);'), endless, 'SOURCE_TIMEOUT', /did not answer within 300 ms/],
    ['loops for ever at import', 'while (true);', endless, 'SOURCE_TIMEOUT', /did not answer/],
    ['never answers', loading('return new Promise(() => {});'), endless, 'SOURCE_TIMEOUT', /did not answer/],
    [
      'gives up when it is told to',
      loading(`return new Promise((_, no) => signal.addEventListener('abort', () => no(signal.reason)));`),
      { timeout: 2000 },
      'SOURCE_TIMEOUT',
      /gave up because its time ran out/,
    ],
    [
      'blocks its process',
      loading('Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);'),
      endless,
      'SOURCE_TIMEOUT',
      /did not answer/,
    ],
    ['throws at import', `throw new Error('at import');`, patient, 'PLUGIN_FAILED', /: at import$/],
    ['throws nothing', 'throw null;', patient, 'PLUGIN_FAILED', /: null$/],
    ['is no JavaScript', 'export default (', patient, 'PLUGIN_FAILED', /Unexpected end of input/],
    ['imports what is not there', `import './missing.mjs';`, patient, 'PLUGIN_FAILED', /Cannot find module/],
    ['has no default export', 'export const load = 1;', patient, 'PLUGIN_INVALID', /default export is not a function/],
    ['makes nothing', 'export default () => {};', patient, 'PLUGIN_INVALID', /load of what the factory returned/],
    [
      'cannot be made',
      `export default () => Promise.reject(new Error('no token'));`,
      patient,
      'PLUGIN_FAILED',
      /: no token$/,
    ],
    ['rejects', loading(`throw new Error('down\\nsecond line');`), patient, 'PLUGIN_FAILED', /: down$/],
    [
      'leaves a rejection unhandled',
      loading(`Promise.reject(new Error('lost')); return new Promise(() => {});`),
      patient,
      'PLUGIN_FAILED',
      /: lost$/,
    ],
    [
      'throws out of a timer',
      loading(`setTimeout(() => { throw new Error('timer'); }); return new Promise(() => {});`),
      patient,
      'PLUGIN_FAILED',
      /: timer$/,
    ],
    ['exits', loading('process.exit(3);'), patient, 'PLUGIN_FAILED', /ended by itself \(exit code 3\)$/],
    ['exits at import', 'process.exit();', patient, 'PLUGIN_FAILED', /ended by itself \(exit code 0\)$/],
    [
      'uses up its memory',
      loading('const all = []; while (true) all.push(new Array(1000).fill(all));'),
      patient,
      'PLUGIN_FAILED',
      /memory limit/,
    ],
    [
      'takes too much memory at once',
      loading('new Array(1e8).fill({});'),
      patient,
      'PLUGIN_FAILED',
      /: reached its memory limit of 32 MiB$/,
    ],
    [
      'makes what is too large for any memory',
      loading(`'x'.repeat(2 ** 28).split('');`),
      patient,
      'PLUGIN_FAILED',
      /: reached its memory limit of 32 MiB$/,
    ],
    [
      'kills itself',
      loading(`process.kill(process.pid, 'SIGKILL');`),
      patient,
      'PLUGIN_FAILED',
      /ended by itself \(SIGKILL\)$/,
    ],
    ['kills its group', loading(`process.kill(0, 'SIGKILL');`), patient, 'PLUGIN_FAILED', /\(SIGKILL\)$/],
    ['aborts', loading('process.abort();'), patient, 'PLUGIN_FAILED', /ended by itself \(SIGABRT\)$/],
    ['writes nonsense to its channel', writing('nonsense'), patient, 'PLUGIN_FAILED', /disturbed the channel/],
    ['answers nothing on its channel', writing('{"kind":"answer"}'), patient, 'PLUGIN_FAILED', /disturbed the channel/],
    [
      'makes up a failure',
      writing('{"kind":"failed","code":"__proto__"}'),
      patient,
      'PLUGIN_FAILED',
      /disturbed the channel/,
    ],
    [
      'closes its channel',
      `import { closeSync } from 'node:fs';\n${loading('closeSync(3); return new Promise(() => {});')}`,
      patient,
      'PLUGIN_FAILED',
      /ended by itself/,
    ],
    [
      'recurses for ever',
      loading('const again = () => again() + 1; again();'),
      patient,
      'PLUGIN_FAILED',
      /call stack size/,
    ],
    ['answers nonsense', answering('new Map()'), patient, 'PLUGIN_INVALID', /identities is undefined/],
    [
      'answers with a trap',
      answering(`{ get identities() { throw new Error('trap'); } }`),
      patient,
      'PLUGIN_FAILED',
      /: trap$/,
    ],
    [
      'answers without end',
      answering(`{ identities: { __proto__: [], length: 1e9 } }`),
      patient,
      'PLUGIN_INVALID',
      /not an array/,
    ],
    [
      'answers far too much',
      answering(`{
        identities: Array.from({ length: 9000 }, (_, i) => ({ id: 'i' + i, certificatePem: ' '.repeat(1e6), keyPem: '' })),
      }`),
      { timeout: 10_000, memory: 64 },
      'PLUGIN_INVALID',
      /more than 67108864 characters/,
    ],
    ['answers nothing', answering('{ identities: [] }'), patient, 'SOURCE_EMPTY', /gave no identity/],
  ] as const) {
    test(`one that ${what}`, async (t) => {
      const bad = await pluginOf(t, text, options);
      let answered = false;
      const loading = bad.load().finally(() => {
        answered = true;
      });
      // As long as the bad one takes, and at least twice.
      for (let loads = 0; loads < 2 || !answered; loads += 1) {
        assert.deepEqual(failures(await other.load()), []);
        // Without a break they would take a processor to themselves.
        await Promise.race([loading, delay(10)]);
      }
      const { identities, findings } = await loading;
      assert.deepEqual(identities, []);
      assert.equal(findings.length, 1);
      const [found] = findings;
      assert.ok(found);
      assert.equal(found.code, code);
      assert.equal(found.severity, 'error');
      assert.equal(found.identity, undefined);
      assert.equal(found.file, resolve(bad.id));
      assert.ok(found.message.startsWith(bad.id));
      assert.match(found.message, message);
      assert.deepEqual(failures(await other.load()), []);
    });
  }
});

test('the event loop turns while a plug-in loops for ever and prints without end', async (t) => {
  const looping = await pluginOf(t, loading('while (true);'), { timeout: 300 });
  const printing = await pluginOf(
    t,
    loading(`const print = () => { process.stdout.write('x\\n'.repeat(1e5)); setImmediate(print); }; print();
      return new Promise(() => {});`),
    { timeout: 300 },
  );
  const writing = await pluginOf(
    t,
    `import { writeSync } from 'node:fs';
     ${loading(`while (true) writeSync(1, 'x\\n'.repeat(1e5));`)}`,
    { timeout: 300 },
  );
  let answered = false;
  const over = Promise.all([looping.load(), printing.load(), writing.load()]).finally(() => {
    answered = true;
  });
  let turns = 0;
  for (; !answered; turns++) await nextTurn();
  await over;
  assert.ok(turns > 100, `${turns} turns`);
});

for (const [what, text, code] of [
  ['looped', 'while (true);', 'SOURCE_TIMEOUT'],
  ['threw', `throw new Error('at import');`, 'PLUGIN_FAILED'],
] as const) {
  test(`a module that ${what} is loaded as it is once it was corrected`, async (t) => {
    const module = await moduleOf(t, text);
    const source = new PluginSource({ module, timeout: 1000 });
    t.after(() => source.close());
    assert.deepEqual(failures(await source.load()), [`${code} error`]);
    await writeAtomically(module, good);
    assert.deepEqual(failures(await source.load()), []);
  });
}

test('what to watch stays known while the plug-in fails', async (t) => {
  const source = await pluginOf(
    t,
    answering(`loads === 1 ? { identities: [${one}], watch: ['/certs'] } : Promise.reject(new Error('down'))`),
  );
  const { watch } = await source.load();
  const failed = await source.load();
  assert.deepEqual(failures(failed), ['PLUGIN_FAILED error']);
  assert.deepEqual(failed.watch, watch);
  assert.equal(watch.length, 1);
});

test('there is one process, however often it fails or is asked, and it is asked no more once it is closed', async (t) => {
  const failing = new PluginSource({ module: await moduleOf(t, loading(`throw new Error('down');`), 'f.mjs') });
  t.after(() => failing.close());
  for (let i = 0; i < 8; i += 1) {
    assert.deepEqual(failures(await failing.load()), ['PLUGIN_FAILED error']);
    assert.ok(processesOf('f.mjs').length <= 1);
  }
  const steady = new PluginSource({
    module: await moduleOf(t, answering(`{ identities: [{ ...${one}, keyPem: String(loads) }] }`), 's.mjs'),
  });
  t.after(() => steady.close());
  // Asked at once, they are answered in turn by the same process.
  const answers = await Promise.all([steady.load(), steady.load(), steady.load()]);
  assert.deepEqual(
    answers.map(({ identities }) => identities[0]?.keyPem.reveal()),
    ['1', '2', '3'],
  );
  assert.equal(processesOf('s.mjs').length, 1);
  steady.close();
  assert.deepEqual(failures(await steady.load()), ['PLUGIN_FAILED error']);
  assert.ok(processesOf('s.mjs').length <= 1);
});

test('one that waits for a program is ended with that program, before another is started', async (t) => {
  const text = `import { execFileSync } from 'node:child_process';\n${loading("execFileSync('sleep', ['600.25']);")}`;
  const source = new PluginSource({ module: await moduleOf(t, text, 'b.mjs'), timeout: 500 });
  t.after(() => source.close());
  for (let i = 0; i < 2; i += 1) {
    assert.deepEqual(failures(await source.load()), ['SOURCE_TIMEOUT error']);
    assert.ok(processesOf('b.mjs').length <= 1);
  }
});

test('no key shows in what a plug-in throws or logs', async (t) => {
  const pem = exportPrivateKey(await generateKeys('ec-p256'), 'pkcs8');
  const logged: string[] = [];
  const source = await pluginOf(
    t,
    loading(`context.log('have ' + options); console.log(options); throw new Error('cannot parse ' + options);`),
    { options: pem, log: (line) => logged.push(line) },
  );
  const { findings } = await source.load();
  const shown = [...logged, inspect(findings, { depth: null })].join('\n');
  assert.match(shown, /have \[PEM\]/);
  assert.match(shown, /cannot parse \[PEM\]/);
  for (const line of pem.split('\n').slice(1, -2)) assert.ok(!shown.includes(line));
});

test('closing lets the plug-in close its source, and a load under way hears of it', async (t) => {
  const closed = Promise.withResolvers<string>();
  const source = await pluginOf(
    t,
    `export default (_, { log, signal }) => ({
      load: ({ signal }) => new Promise((_, no) => {
        signal.addEventListener('abort', () => no(new Error('told to stop')));
        log('loading');
      }),
      close() { log('closed ' + signal.aborted); },
    });`,
    {
      log: (line) => {
        if (line === 'loading') source.close();
        if (line.startsWith('closed')) closed.resolve(line);
      },
    },
  );
  assert.match((await source.load()).findings[0]?.message ?? '', /told to stop|ended by itself/);
  assert.equal(await closed.promise, 'closed true');
});

test('a plug-in that ends between two loads is started again', async (t) => {
  const ended = Promise.withResolvers<string>();
  const source = await pluginOf(
    t,
    answering(`(setTimeout(() => { throw new Error('later'); }), { identities: [${one}] })`),
    { log: (line) => ended.resolve(line) },
  );
  assert.deepEqual(failures(await source.load()), []);
  assert.equal(await ended.promise, 'later');
  // It may be asked while it ends: then that is what it answers, once.
  await source.load();
  assert.ok(source);
});

test('its time is up before that of a reader that waits as long', async (t) => {
  const source = await pluginOf(t, loading('return new Promise(() => {});'), { timeout: 1000 });
  let late = 0;
  const reader = new SourceReader(source, 1000, () => {
    late += 1;
  });
  const { failure } = await reader.read(false);
  assert.match(failure?.message ?? '', /source\.mjs: did not answer within 1000 ms/);
  assert.equal(late, 0);
});

test('it prints nothing to standard output, and an idle plug-in does not keep the process alive', async (t) => {
  const module = await moduleOf(
    t,
    `console.log('printed'); process.stderr.write('printed');
     setInterval(() => {}, 1000);
     ${good}`,
  );
  const script = join(await temporaryDirectory(t), 'script.mjs');
  const index = fileURLToPath(new URL('../../../src/certificates/index.ts', import.meta.url));
  await writeAtomically(
    script,
    `import { PluginSource } from ${JSON.stringify(index)};
     const log = [];
     const source = new PluginSource({ module: ${JSON.stringify(module)}, log: (line) => log.push(line) });
     const { identities } = await source.load();
     console.log(JSON.stringify({ log, ids: identities.map(({ id }) => id) }));`,
  );
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [script], { timeout: 20_000 });
  assert.deepEqual(JSON.parse(stdout), { log: ['printed', 'printed'], ids: ['a'] });
  assert.equal(stderr, '');
});
