import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isWithoutEvents, mayNotAnswer } from '../../src/files/doctor/file-systems.ts';
import { isOrphaned, isSubPath, isWithin, MountTable } from '../../src/files/doctor/mount-table.ts';

/** A table of a root and what is mounted below it, each as `ROOT POINT TYPE`. */
function tableOf(...mounts: readonly string[]): MountTable {
  const lines = mounts.map((mount, i) => {
    const [root, point, type] = mount.split(' ');
    return `${i + 30} 22 8:1 ${root} ${point} rw,relatime - ${type} source rw`;
  });
  return new MountTable(['22 1 8:0 / / rw,relatime - ext4 /dev/sda1 rw', ...lines, ''].join('\n'));
}

function mountOf(mount: string) {
  const found = tableOf(mount).mounts.at(-1);
  assert.ok(found);
  return found;
}

describe('the mount table', () => {
  test('is read whatever optional fields there are, with white space in its names', () => {
    const { mounts } = new MountTable(
      [
        '22 1 0:20 / / rw,relatime - ext4 /dev/sda1 rw',
        '36 22 8:1 /srv/tls.crt /certs/tls.crt rw shared:1 master:2 - fuse.sshfs user@host:/x rw',
        '37 22 8:1 /x /with\\040space\\011tab\\134slash rw shared:1 propagate_from:2 unbindable - nfs4 a rw',
        '38 22 8:1 /dash/- /a/- rw - tmpfs - rw',
      ].join('\n'),
    );
    assert.deepEqual(mounts, [
      { id: 22, parent: 1, root: '/', point: '/', type: 'ext4' },
      { id: 36, parent: 22, root: '/srv/tls.crt', point: '/certs/tls.crt', type: 'fuse.sshfs' },
      { id: 37, parent: 22, root: '/x', point: '/with space\ttab\\slash', type: 'nfs4' },
      { id: 38, parent: 22, root: '/dash/-', point: '/a/-', type: 'tmpfs' },
    ]);
  });

  test('passes over lines that are no mounts', () => {
    const text =
      'nonsense\n\n36 22 8:1 / /cut rw\n37 22 8:1 / /cut rw -\nx 22 8:1 / /odd rw - ext4 a rw\n1 2 3 / relative rw - a b c';
    assert.deepEqual(new MountTable(text).mounts, []);
    assert.equal(new MountTable('').holderOf('/certs'), undefined);
    assert.deepEqual(new MountTable('').visibleBelow('/'), []);
  });

  test('tells the most specific mount that holds a path', () => {
    const table = tableOf('/ /certs tmpfs', '/ /certs/deep fuse.x', '/ /certs-too nfs');
    const typeAt = (path: string) => table.holderOf(path)?.type;
    assert.deepEqual(['/', '/certs', '/certs/a/b', '/certs-too', '/certs-three', '/other'].map(typeAt), [
      'ext4',
      'tmpfs',
      'tmpfs',
      'nfs',
      'ext4',
      'ext4',
    ]);
  });

  test('knows a mount that stands in another one, and not one that is hidden by a later one', () => {
    const table = new MountTable(
      [
        '22 1 0:1 / / rw - ext4 a rw',
        '30 22 0:2 / /certs/sub rw - fuse a rw',
        '31 22 0:3 / /certs rw - tmpfs a rw',
        '32 31 0:4 / /certs/other rw - nfs a rw',
        '33 32 0:5 / /certs/other rw - cifs a rw',
      ].join('\n'),
    );
    assert.equal(table.holderOf('/certs/sub/a')?.type, 'tmpfs');
    assert.equal(table.holderOf('/certs/other/a')?.type, 'cifs');
    assert.deepEqual(
      table.visibleBelow('/certs').map(({ type }) => type),
      ['tmpfs', 'cifs'],
    );
  });

  test('knows the root on top of the root it began with', () => {
    const table = new MountTable(
      '1 1 0:1 / / rw - rootfs a rw\n22 1 0:2 / / rw - overlay a rw\n23 22 0:3 / /x rw - nfs a rw',
    );
    assert.equal(table.holderOf('/certs')?.type, 'overlay');
    assert.equal(table.holderOf('/x/y')?.type, 'nfs');
  });

  test('goes by names where it has no beginning, as in a changed root', () => {
    const table = new MountTable('30 7 0:2 / /certs rw - tmpfs a rw\n31 30 0:3 / /certs/sub rw - nfs a rw');
    assert.equal(table.holderOf('/certs/sub/a')?.type, 'nfs');
    assert.equal(table.holderOf('/certs/a')?.type, 'tmpfs');
    assert.equal(table.holderOf('/other'), undefined);
  });

  test('compares paths by whole names', () => {
    assert.deepEqual(
      [isWithin('/a/b', '/a'), isWithin('/a', '/a'), isWithin('/ab', '/a'), isWithin('/a', '/'), isWithin('/', '/a')],
      [true, true, false, true, false],
    );
  });
});

describe('a mount', () => {
  test('with subPath is told by where its file comes from', () => {
    const pod = '/var/lib/kubelet/pods/5b1c';
    for (const root of [
      `${pod}/volume-subpaths/certs/swivel/0`,
      `${pod}/volumes/kubernetes.io~empty-dir/certs/tls.crt`,
      '/..2026_11_21_10_11_12.123456789/tls.crt',
      '/..2026_11_21_10_11_12.123456789/tls.crt//deleted',
    ]) {
      assert.ok(isSubPath(mountOf(`${root} /certs/tls.crt tmpfs`)), root);
    }
    for (const root of ['/srv/certs/tls.crt', '/', '/..2026/tls.crt', '/srv/kubernetes/tls.crt']) {
      assert.ok(!isSubPath(mountOf(`${root} /certs/tls.crt ext4`)), root);
    }
  });

  test('whose source was replaced bears the mark of the kernel', () => {
    assert.ok(isOrphaned(mountOf('/srv/tls.crt//deleted /certs/tls.crt ext4')));
    assert.ok(!isOrphaned(mountOf('/srv/deleted /certs/tls.crt ext4')));
  });

  test('is without events when a daemon, a server or a host is behind it', () => {
    const silent = 'fuse fuse.sshfs nfs nfs4 cifs smb3 9p virtiofs vboxsf ceph glusterfs'.split(' ');
    for (const type of silent) {
      assert.ok(isWithoutEvents(mountOf(`/ /certs ${type}`)), type);
      assert.ok(mayNotAnswer(mountOf(`/ /certs ${type}`)), type);
    }
    for (const type of 'ext4 xfs btrfs tmpfs zfs fusectl nfsd'.split(' ')) {
      assert.ok(!isWithoutEvents(mountOf(`/ /certs ${type}`)), type);
      assert.ok(!mayNotAnswer(mountOf(`/ /certs ${type}`)), type);
    }
  });

  test('of an overlay is without events, unless it is the root of a container or a part of one', () => {
    assert.ok(isWithoutEvents(mountOf('/ /certs overlay')));
    assert.ok(!isWithoutEvents(mountOf('/ / overlay')));
    assert.ok(!isWithoutEvents(mountOf('/srv/certs /certs overlay')));
    assert.ok(!mayNotAnswer(mountOf('/ /certs overlay')));
  });
});
