import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type Account, type AccountFiles, resolveUser } from '../../../src/cluster/privileges/accounts.ts';
import { SwivelError } from '../../../src/errors.ts';
import { temporaryDirectory } from '../../support/files.ts';

async function accountFiles(t: TestContext): Promise<AccountFiles> {
  const directory = await temporaryDirectory(t);
  const files = { passwd: join(directory, 'passwd'), group: join(directory, 'group') };
  const users = [
    'root:x:0:0:root:/root:/bin/bash',
    '+::::::',
    '# a comment',
    'swivel:x:1000:1001::/:/bin/false',
    '2000:x:3000:3001::/:/bin/false',
    'openshift:x:1005:0::/:/bin/false',
    'half:x:',
  ];
  await writeFile(files.passwd, `${users.join('\n')}\n`);
  await writeFile(files.group, 'root:x:0:\nssl-cert:x:110:swivel\nweb:x:1001:\n');
  return files;
}

test('a user is found by name, or by number with or without an entry', async (t) => {
  const files = await accountFiles(t);
  const cases: [Account, object][] = [
    [{ user: 'swivel' }, { user: 'swivel', uid: 1000, gid: 1001 }],
    [{ user: 1000 }, { user: '1000', uid: 1000, gid: 1001 }],
    [{ user: '1000' }, { user: '1000', uid: 1000, gid: 1001 }],
    [{ user: 4242 }, { user: '4242', uid: 4242, gid: 4242 }],
    // A name that looks like a number is a name first, as for chown.
    [{ user: 2000 }, { user: '2000', uid: 3000, gid: 3001 }],
    [
      { user: 'swivel', group: 'ssl-cert' },
      { user: 'swivel', uid: 1000, gid: 110 },
    ],
    [
      { user: 'swivel', group: 77 },
      { user: 'swivel', uid: 1000, gid: 77 },
    ],
    [
      { user: 'openshift', group: 'web' },
      { user: 'openshift', uid: 1005, gid: 1001 },
    ],
  ];
  for (const [account, identity] of cases) assert.deepEqual(resolveUser(account, files), identity);
  assert.equal(resolveUser({}, files), null);
});

test('a user or group that does not exist, or is root, is refused with what to do', async (t) => {
  const files = await accountFiles(t);
  const cases: [Account, string][] = [
    [{ user: 'nobody-at-all' }, 'USER_UNKNOWN'],
    [{ user: 'half' }, 'USER_UNKNOWN'],
    [{ user: 'swivel', group: 'wheel' }, 'USER_UNKNOWN'],
    [{ user: '4294967295' }, 'USER_UNKNOWN'],
    [{ user: -1 }, 'USER_UNKNOWN'],
    [{ user: 'root' }, 'USER_IS_ROOT'],
    [{ user: 0 }, 'USER_IS_ROOT'],
    [{ user: 'swivel', group: 'root' }, 'USER_IS_ROOT'],
    [{ user: 'openshift' }, 'USER_IS_ROOT'],
  ];
  for (const [account, code] of cases) {
    assert.throws(
      () => resolveUser(account, files),
      (error) => error instanceof SwivelError && error.code === code && error.exitCode === 2,
      JSON.stringify(account),
    );
  }
});

test('without account files numbers can be used, and names are refused with the reason', () => {
  const files = { passwd: '/nonexistent/passwd', group: '/nonexistent/group' };
  assert.deepEqual(resolveUser({ user: 1000, group: 1001 }, files), { user: '1000', uid: 1000, gid: 1001 });
  assert.throws(() => resolveUser({ user: 'swivel' }, files), /cannot be read \(ENOENT\)/);
});
