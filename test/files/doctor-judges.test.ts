import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ExposedKey, MountFact } from '../../src/files/doctor/facts.ts';
import { judgeKeys } from '../../src/files/doctor/judge-keys.ts';
import { judgeEvents, judgeFileMounts } from '../../src/files/doctor/judge-mounts.ts';
import { judgeClock, judgeLimits } from '../../src/files/doctor/judge-system.ts';
import { hasKeyLabel } from '../../src/files/doctor/key-exposure.ts';

function fact(id: number, type: string, point: string, more: Partial<MountFact> & { root?: string } = {}): MountFact {
  const { root = '/', ...rest } = more;
  return { mount: { id, parent: 1, root, point, type }, path: null, kind: 'directory', answers: true, ...rest };
}

describe('mounts are judged', () => {
  test('a file: by itself, by subPath, and with what became of it', () => {
    const found = judgeFileMounts([
      fact(1, 'ext4', '/certs'),
      fact(2, 'ext4', '/certs/a.crt', { kind: 'file', root: '/srv/a.crt' }),
      fact(3, 'tmpfs', '/certs/b.crt', { kind: 'file', root: '/..2026_11_21_10_11_12.1/b.crt//deleted' }),
      fact(4, 'nfs', '/certs/c.crt', { kind: 'unknown', answers: false }),
    ]);
    assert.deepEqual(
      found.map(({ code, severity, file, message }) => ({ code, severity, file, message })),
      [
        {
          code: 'MOUNT_SINGLE_FILE',
          severity: 'warning',
          file: '/certs/a.crt',
          message: '/certs/a.crt is mounted by itself',
        },
        {
          code: 'MOUNT_SINGLE_FILE',
          severity: 'warning',
          file: '/certs/b.crt',
          message:
            '/certs/b.crt is a Kubernetes volume mounted with subPath, and what it shows has been replaced or removed since',
        },
      ],
    );
  });

  test('one without events: once each, with its type and its place', () => {
    const found = judgeEvents([
      fact(1, 'nfs4', '/srv', { path: '/srv/certs' }),
      fact(1, 'nfs4', '/srv', { path: '/srv/certs-too' }),
      fact(2, 'fuse.bindfs', '/certs', { path: '/certs', answers: false }),
      fact(3, 'overlay', '/merged'),
      fact(4, 'ext4', '/plain', { path: '/plain' }),
      fact(5, 'virtiofs', '/certs/tls.crt', { kind: 'file' }),
    ]);
    assert.deepEqual(
      found.map(({ file, message }) => [file, message]),
      [
        [
          '/srv/certs',
          '/srv/certs is on a file system of type nfs4, mounted at /srv, which tells nothing of changes made elsewhere',
        ],
        [
          '/certs',
          '/certs is on a file system of type fuse.bindfs, which tells nothing of changes made elsewhere, and it did not answer in time',
        ],
        [
          '/merged',
          '/merged is on a file system of type overlay, which tells nothing of changes made in its lower layers',
        ],
      ],
    );
    assert.ok(found.every(({ code, severity }) => code === 'MOUNT_WITHOUT_EVENTS' && severity === 'warning'));
  });
});

describe('inotify limits are judged', () => {
  const messages = (watches: number | null, instances: number | null, directories: number) =>
    judgeLimits({ watches, instances }, directories).map(({ code, message }) => `${code} ${message}`);

  test('against half of the watches and a handful of instances', () => {
    assert.deepEqual(messages(100, 16, 50), []);
    assert.deepEqual(messages(100, 16, 51), [
      'INOTIFY_LIMIT 51 directories of certificates are to be watched, and the system allows the user 100 watches',
    ]);
    assert.deepEqual(messages(100, 15, 1), [
      'INOTIFY_LIMIT the system allows the user only 15 inotify instances, for all processes together',
    ]);
    assert.equal(messages(0, 0, 1).length, 2);
  });

  test('and not where the system does not tell them', () => {
    assert.deepEqual(messages(null, null, 1_000_000), []);
  });
});

describe('the clock is judged', () => {
  const now = Date.UTC(2026, 0, 1);
  const skewed = (notBefore: number, modified: number) =>
    judgeClock([{ file: '/c/tls.crt', notBefore: now + notBefore, modified: now + modified }], now);

  test('by a certificate that was written before it begins, and has not begun', () => {
    const [found, ...others] = skewed(290_000, -10_000);
    assert.deepEqual(others, []);
    assert.equal(found?.code, 'CLOCK_SKEW');
    assert.equal(found?.file, '/c/tls.crt');
    assert.equal(
      found?.message,
      '/c/tls.crt was written 300 s before its certificate is valid (from 2026-01-01T00:04:50.000Z): the clock of this machine may be slow',
    );
  });

  for (const [what, notBefore, modified] of [
    ['that has begun', 0, -10_000],
    ['that was backdated, as authorities do', -3_600_000, -10_000],
    ['within the tolerance', 1_000, -4_000],
    ['that is meant for another day', 86_400_000, 0],
    ['that is meant for next year', 365 * 86_400_000, -10_000],
    ['that was written after its beginning', 5_000, 10_000],
  ] as const) {
    test(`and not by one ${what}`, () => {
      assert.deepEqual(skewed(notBefore, modified), []);
    });
  }

  test('once for a file that holds several identities', () => {
    const one = { file: '/c/tls.pem', notBefore: now + 60_000, modified: now };
    assert.equal(judgeClock([one, one], now).length, 1);
  });
});

describe('exposed keys are judged', () => {
  const key = (file: string, more: Partial<ExposedKey> = {}): ExposedKey => ({
    file,
    mode: 0o644,
    projected: false,
    ...more,
  });

  test('one finding for each directory, which counts them', () => {
    const found = judgeKeys([key('/a/1.key'), key('/a/2.key'), key('/a/2.key'), key('/b/tls.key', { mode: 0o4666 })]);
    assert.deepEqual(
      found.map(({ code, file, message }) => [code, file, message]),
      [
        ['KEY_EXPOSED', '/a', '2 private keys in /a can be read by every user, /a/1.key (mode 0644) among them'],
        ['KEY_EXPOSED', '/b/tls.key', 'the private key /b/tls.key can be read by every user (mode 4666)'],
      ],
    );
  });

  test('a Kubernetes volume is told by what to set', () => {
    const [found] = judgeKeys([key('/certs/tls.key', { projected: true })]);
    assert.match(found?.message ?? '', /mounted without defaultMode: 0400$/);
  });
});

test('a private key is known by its PEM label, whatever its kind and place', () => {
  const certificate = '-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n';
  for (const kind of ['', 'RSA ', 'EC ', 'DSA ', 'ENCRYPTED ']) {
    assert.ok(hasKeyLabel(Buffer.from(`${certificate}-----BEGIN ${kind}PRIVATE KEY-----\nAA==\n`)), kind);
  }
  for (const text of ['', certificate, 'see -----BEGIN X-----\nPRIVATE KEY-----', '-----BEGIN PUBLIC KEY-----\n']) {
    assert.ok(!hasKeyLabel(Buffer.from(text)), text);
  }
});
