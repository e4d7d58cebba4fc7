import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { quotaOf, workersFor } from '../../src/cluster/index.ts';
import { temporaryDirectory } from '../support/files.ts';

/** A file system in which /proc and /sys are as they are told. */
async function systemOf(t: TestContext, files: Readonly<Record<string, string>>): Promise<string> {
  const root = await temporaryDirectory(t);
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
  }
  return root;
}

const v2 = '30 25 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n';
const v1 = '31 25 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n';

describe('the CPU quota', () => {
  test('is that of the group, in whole CPUs (cgroup v2)', async (t) => {
    const group = 'sys/fs/cgroup/system.slice/swivel.service/cpu.max';
    const proc = { 'proc/self/cgroup': '0::/system.slice/swivel.service\n', 'proc/self/mountinfo': v2 };
    assert.equal(quotaOf(await systemOf(t, { ...proc, [group]: '250000 100000\n' })), 2);
    assert.equal(quotaOf(await systemOf(t, { ...proc, [group]: '50000 100000\n' })), 1);
    assert.equal(quotaOf(await systemOf(t, { ...proc, [group]: 'max 100000\n' })), null);
  });

  test('of a group above counts as well', async (t) => {
    const root = await systemOf(t, {
      'proc/self/cgroup': '0::/pods/pod1/container\n',
      'proc/self/mountinfo': v2,
      'sys/fs/cgroup/pods/pod1/container/cpu.max': '800000 100000\n',
      'sys/fs/cgroup/pods/pod1/cpu.max': '300000 100000\n',
    });
    assert.equal(quotaOf(root), 3);
  });

  test('is found from inside a container, whose own group is what is mounted', async (t) => {
    const inNamespace = await systemOf(t, {
      'proc/self/cgroup': '0::/\n',
      'proc/self/mountinfo': v2,
      'sys/fs/cgroup/cpu.max': '400000 100000\n',
    });
    assert.equal(quotaOf(inNamespace), 4);
    const v1Docker = await systemOf(t, {
      'proc/self/cgroup': '5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n',
      'proc/self/mountinfo': '31 25 0:27 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n',
      'sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us': '200000\n',
      'sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us': '100000\n',
    });
    assert.equal(quotaOf(v1Docker), 2);
  });

  test('is found in a hierarchy of v1 that stands for itself', async (t) => {
    const root = await systemOf(t, {
      'proc/self/cgroup': '1:cpu:/group\n',
      'proc/self/mountinfo': v1.replaceAll('cpu,cpuacct', 'cpu'),
      'sys/fs/cgroup/cpu/group/cpu.cfs_quota_us': '100000\n',
      'sys/fs/cgroup/cpu/group/cpu.cfs_period_us': '50000\n',
      'sys/fs/cgroup/cpu/cpu.cfs_quota_us': '-1\n',
    });
    assert.equal(quotaOf(root), 2);
  });

  test('is none where there are no cgroups, or they cannot be read', async (t) => {
    assert.equal(quotaOf(await systemOf(t, {})), null);
    assert.equal(quotaOf(await systemOf(t, { 'proc/self/cgroup': '0::/x\n', 'proc/self/mountinfo': '' })), null);
  });
});

test('there is a worker for each CPU, and no more than the memory holds', () => {
  const mebibyte = 2 ** 20;
  assert.equal(workersFor({ cpus: 8, memory: null }), 8);
  assert.equal(workersFor({ cpus: 2, memory: 2048 * mebibyte }), 2);
  assert.equal(workersFor({ cpus: 16, memory: 512 * mebibyte }), 2);
  assert.equal(workersFor({ cpus: 16, memory: 128 * mebibyte }), 1);
});
