import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { parseCredentials } from '../../../src/cluster/privileges/credentials.ts';
import { keptBy } from '../../../src/cluster/privileges/drop.ts';
import { dropPrivileges } from '../../../src/cluster/privileges/index.ts';
import { answerOf, needsRoot, run, scriptOf } from './support/probe.ts';

const identity = { user: 'nobody', uid: 65534, gid: 65534 };
const skip = needsRoot;

test('a process that dropped has no right of root left, in any thread, and cannot take one back', {
  skip,
}, async (t) => {
  const script = await scriptOf(
    t,
    `import { pbkdf2 } from 'node:crypto';
     import { promisify } from 'node:util';
     const [key] = process.argv.slice(2);
     // The threads of the pool exist before the drop.
     await Promise.all([1, 2, 3, 4].map(() => promisify(pbkdf2)('a', 'b', 1, 8, 'sha1')));
     process.setgroups([0, 4, 27]);
     readFileSync(key);
     const dropped = privileges.dropPrivileges(${JSON.stringify(identity)});
     const denied = (action) => { try { action(); return 'allowed'; } catch (error) { return error.code; } };
     const later = await import('node:fs/promises').then(({ readFile }) => readFile(key)).then(() => 'allowed', ({ code }) => code);
     console.log(JSON.stringify({
       dropped, later,
       read: denied(() => readFileSync(key)),
       root: [() => process.setuid(0), () => process.seteuid(0), () => process.setgid(0), () => process.setgroups([0])].map(denied),
       groups: process.getgroups(), ids: [process.getuid(), process.geteuid(), process.getgid(), process.getegid()],
     }));`,
  );
  const key = join(dirname(script), 'tls.key');
  await writeFile(key, 'key', { mode: 0o640 });
  const answer = answerOf(run(process.execPath, [script, key]));
  assert.deepEqual(answer, {
    dropped: true,
    later: 'EACCES',
    read: 'EACCES',
    root: ['EPERM', 'EPERM', 'EPERM', 'EPERM'],
    groups: [65534],
    ids: [65534, 65534, 65534, 65534],
  });
});

test('a process that dropped cannot be looked into by its own user, and leaves no core dump', { skip }, async (t) => {
  const script = await scriptOf(
    t,
    `privileges.dropPrivileges(${JSON.stringify(identity)});
     process.stdin.resume();
     console.log('ready');`,
  );
  const directory = join(dirname(script), 'cores');
  await mkdir(directory);
  await chmod(directory, 0o777);
  for (const signal of ['SIGABRT', 'SIGSEGV'] as const) {
    const command = ['-c', 'ulimit -c unlimited; exec "$0" "$@"', process.execPath, script];
    const child = spawn('sh', command, { cwd: directory, env: { SECRET: 'x' }, stdio: ['pipe', 'pipe', 'inherit'] });
    t.after(() => child.kill('SIGKILL'));
    await once(child.stdout, 'data', { signal: AbortSignal.timeout(20_000) });
    assert.equal((await stat(`/proc/${child.pid}/environ`)).uid, 0);
    assert.match(await readFile(`/proc/${child.pid}/limits`, 'utf8'), /Max core file size\s+unlimited/);
    for (const look of ['head -c 1 environ', 'head -c 1 mem', 'head -c 1 maps', 'ls fd/']) {
      const user = { uid: identity.uid, gid: identity.gid, cwd: `/proc/${child.pid}`, encoding: 'utf8' } as const;
      const { stdout, stderr } = spawnSync('sh', ['-c', look], user);
      assert.equal(stdout, '', look);
      assert.match(stderr, /Permission denied/, look);
    }
    const exit = once(child, 'exit');
    child.kill(signal);
    assert.deepEqual(await exit, [null, signal]);
    assert.deepEqual(await readdir(directory), []);
  }
});

test('a drop that the system refuses is an error that says what was kept', { skip }, async (t) => {
  const script = await scriptOf(
    t,
    `const failure = (() => { try { privileges.dropPrivileges(${JSON.stringify(identity)}); } catch (error) { return error; } })();
     console.log(JSON.stringify({ code: failure?.code, message: failure?.message }));`,
  );
  const without = (...flags: string[]) => run('/usr/bin/setpriv', [...flags, '--', process.execPath, script]);
  const refused = answerOf<{ code: string; message: string }>(without('--bounding-set=-setuid'));
  assert.equal(refused.code, 'PRIVILEGES_KEPT');
  assert.match(refused.message, /cannot change to user nobody \(65534\): .*EPERM/);
  // Capabilities that outlive the change of the user.
  const kept = answerOf<{ code: string; message: string }>(without('--securebits=+no_setuid_fixup'));
  assert.equal(kept.code, 'PRIVILEGES_KEPT');
  assert.match(kept.message, /could become root again by setuid/);
  const inheritable = answerOf<{ code: string; message: string }>(without('--inh-caps=+kill'));
  assert.match(inheritable.message, /kept inheritable capabilities 0x20/);
});

test('a process that is not root is left as it is', { skip }, async (t) => {
  const script = await scriptOf(
    t,
    `console.log(JSON.stringify([privileges.dropPrivileges({ user: 'a', uid: 1, gid: 1 }), process.getuid()]));`,
  );
  const user = ['--reuid=65534', '--regid=65534', '--clear-groups', '--', process.execPath, script];
  assert.deepEqual(answerOf(run('/usr/bin/setpriv', user)), [false, 65534]);
});

test('whatever a thread still has is named', () => {
  const nobody = { user: 'x', uid: 7, gid: 8 };
  const status = (change: Record<string, string> = {}) => {
    const fields = {
      Uid: '7\t7\t7\t7',
      Gid: '8\t8\t8\t8',
      Groups: '8 ',
      CapInh: '0',
      CapPrm: '0',
      CapEff: '0',
      CapAmb: '0',
      ...change,
    };
    return parseCredentials(
      Object.entries(fields)
        .map(([name, value]) => `${name}:\t${value}`)
        .join('\n'),
    );
  };
  assert.equal(keptBy(status(), nobody), null);
  assert.equal(keptBy(status({ Groups: '' }), nobody), null);
  assert.equal(keptBy(status({ Uid: '7\t7\t0\t7' }), nobody), 'user ids 7 7 0 7');
  assert.equal(keptBy(status({ Gid: '8\t8\t8\t0' }), nobody), 'group ids 8 8 8 0');
  assert.equal(keptBy(status({ Groups: '8 0 ' }), nobody), 'the groups 0');
  assert.equal(keptBy(status({ CapEff: '0000000000000004' }), nobody), 'effective capabilities 0x4');
  assert.equal(keptBy(status({ CapAmb: '0000010000000000' }), nobody), 'ambient capabilities 0x10000000000');
  assert.equal(keptBy(parseCredentials(''), nobody), 'user ids ');
});

test('nothing is done where there is nothing to drop', (t) => {
  // As a worker that is root's no longer sees itself; the tests may run as root.
  t.mock.method(process as Required<typeof process>, 'getuid', () => identity.uid);
  t.mock.method(process as Required<typeof process>, 'geteuid', () => identity.uid);
  assert.equal(dropPrivileges(identity), false);
});
