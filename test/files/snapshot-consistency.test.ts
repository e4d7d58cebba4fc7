import assert from 'node:assert/strict';
import {
  appendFileSync,
  mkdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { setImmediate as yieldToEvents } from 'node:timers/promises';
import { FileFault } from '../../src/files/read.ts';
import { ThreadedReader } from '../../src/files/reading-thread.ts';
import { type Snapshot, SnapshotReader } from '../../src/files/snapshot.ts';
import { CertbotLive, KubernetesVolume, temporaryDirectory } from '../support/files.ts';
import { createAuthority } from '../support/pki.ts';
import { beforeEach, betweenReadings } from './support/meddle.ts';

async function place(t: TestContext): Promise<string> {
  return realpath(await temporaryDirectory(t));
}

function read(path: string, reader = new SnapshotReader()): Promise<Snapshot> {
  return reader.read({ path, wanted: () => true, thorough: true });
}

/** In a thread of its own, so that it runs beside a writer in this one. */
function readBeside(path: string, reader: ThreadedReader): Promise<Snapshot> {
  return reader.read({ path, extensions: null, thorough: true });
}

function textsOf({ files }: Snapshot): Record<string, string> {
  return Object.fromEntries([...files].map(([name, { bytes }]) => [name, bytes.toString()]));
}

/** By rename, with an mtime that tells that the content was complete before the name appeared. */
function replace(directory: string, name: string, text: string): void {
  const temporary = join(directory, `.${name}`);
  writeFileSync(temporary, text);
  const written = Date.now() / 1000 - 0.1;
  utimesSync(temporary, written, written);
  renameSync(temporary, join(directory, name));
}

/** As kubelet does it, in one go. */
function swap(directory: string, version: string, names: readonly string[]): void {
  mkdirSync(join(directory, `..${version}`));
  for (const name of names) writeFileSync(join(directory, `..${version}`, name), version);
  const before = readlinkSync(join(directory, '..data'));
  symlinkSync(`..${version}`, join(directory, '..data_tmp'));
  renameSync(join(directory, '..data_tmp'), join(directory, '..data'));
  rmSync(join(directory, before), { recursive: true });
}

const unstable = (error: unknown) => error instanceof FileFault && error.code === 'SNAPSHOT_UNSTABLE';

describe('a plain directory is read as it stood at one moment', () => {
  test('a pair that is replaced between the reading of its two files is read again', async (t) => {
    const root = await place(t);
    for (const name of ['a.crt', 'a.key']) replace(root, name, 'old');
    betweenReadings(t, 'a.crt', 'a.key', () => {
      for (const name of ['a.crt', 'a.key']) replace(root, name, 'new');
    });
    assert.deepEqual(textsOf(await read(root)), { 'a.crt': 'new', 'a.key': 'new' });
  });

  test('a writer that goes on and on: never an older first file beside a newer second one', async (t) => {
    const root = await place(t);
    for (const name of ['a', 'z']) replace(root, name, '0');
    // So many others that the two are not read at the same time.
    for (let i = 0; i < 60; i += 1) replace(root, `m${i}`, '');
    let done = false;
    const writer = (async () => {
      for (let version = 1; version <= 300; version += 1) {
        for (const name of ['a', 'z']) {
          replace(root, name, String(version));
          await yieldToEvents();
        }
      }
      done = true;
    })();
    const reader = new ThreadedReader();
    while (!done) {
      const { a, z } = textsOf(await readBeside(root, reader));
      if (a !== undefined && z !== undefined) assert.ok(a === z || Number(a) === Number(z) + 1, `${a} beside ${z}`);
    }
    await writer;
    const { a, z } = textsOf(await readBeside(root, reader));
    assert.deepEqual([a, z], ['300', '300']);
  });

  test('a file that appears meanwhile is part of it', async (t) => {
    const root = await place(t);
    replace(root, 'a.crt', 'a');
    beforeEach(t, 'open', (name, times) => {
      if (name === 'a.crt' && times === 1) replace(root, 'a.key', 'a');
    });
    assert.deepEqual(textsOf(await read(root)), { 'a.crt': 'a', 'a.key': 'a' });
  });

  test('a file that vanishes meanwhile is not', async (t) => {
    const root = await place(t);
    for (const name of ['a.crt', 'a.key']) replace(root, name, 'a');
    beforeEach(t, 'open', (name) => {
      if (name === 'a.crt') rmSync(join(root, 'a.key'), { force: true });
    });
    const snapshot = await read(root);
    assert.deepEqual(textsOf(snapshot), { 'a.crt': 'a' });
    assert.equal(snapshot.faults.size, 0);
  });

  test('a file that is only touched while it is read is the same file', async (t) => {
    const root = await place(t);
    replace(root, 'a.crt', 'a');
    const opened = beforeEach(t, 'stat', (name) => {
      if (name === 'a.crt') utimesSync(join(root, name), 1, Date.now() / 1000 - 0.1);
    });
    assert.deepEqual(textsOf(await read(root)), { 'a.crt': 'a' });
    assert.ok((opened.get('a.crt') ?? 0) >= 1);
  });

  test('one file that never holds still is its own fault, and the others are read', { timeout: 20_000 }, async (t) => {
    const root = await place(t);
    for (const name of ['good.crt', 'good.key', 'restless.crt', 'blinking.crt']) replace(root, name, '0');
    let writes = 0;
    beforeEach(t, 'open', (name) => {
      if (name === 'restless.crt') appendFileSync(join(root, name), String(writes++));
      if (name === 'blinking.crt') rmSync(join(root, name));
    });
    beforeEach(t, 'readdir', () => replace(root, 'blinking.crt', '0'));
    const snapshot = await read(root);
    assert.deepEqual(textsOf(snapshot), { 'good.crt': '0', 'good.key': '0' });
    assert.deepEqual([...snapshot.faults].map(([name, { code }]) => [name, code]).sort(), [
      ['blinking.crt', 'SNAPSHOT_UNSTABLE'],
      ['restless.crt', 'SNAPSHOT_UNSTABLE'],
    ]);
    assert.match(snapshot.faults.get('restless.crt')?.message ?? '', /restless\.crt kept changing/);
  });
});

describe('a file that may be unfinished', () => {
  test('is read until two readings agree', async (t) => {
    const root = await place(t);
    writeFileSync(join(root, 'a.crt'), 'first half');
    const opened = beforeEach(t, 'open', (_name, times) => {
      if (times === 2) appendFileSync(join(root, 'a.crt'), ', second half');
    });
    assert.deepEqual(textsOf(await read(root)), { 'a.crt': 'first half, second half' });
    assert.ok((opened.get('a.crt') ?? 0) >= 4);
  });

  test('is only doubted when it may be: one that was renamed into place is read once', async (t) => {
    const root = await place(t);
    replace(root, 'renamed.crt', 'x');
    writeFileSync(join(root, 'written.crt'), 'x');
    const opened = beforeEach(t, 'open', () => {});
    await read(root);
    assert.equal(opened.get('renamed.crt'), 1);
    assert.equal(opened.get('written.crt'), 2);
  });

  test('is not doubted when its content is the one that was accepted before', async (t) => {
    const root = await place(t);
    const reader = new SnapshotReader();
    replace(root, 'a.crt', 'x');
    await read(root, reader);
    writeFileSync(join(root, 'a.crt'), 'x');
    const opened = beforeEach(t, 'open', () => {});
    await read(root, reader);
    assert.equal(opened.get('a.crt'), 1);
  });
});

describe('a PEM file that takes the place of another one', () => {
  const block = (text: string) => `-----BEGIN CERTIFICATE-----\n${text}\n-----END CERTIFICATE-----\n`;

  test('is read once when it is as whole as that one was, also when it was renamed as soon as it was written', async (t) => {
    const root = await place(t);
    const reader = new SnapshotReader();
    replace(root, 'a.crt', block('old'));
    await read(root, reader);
    writeFileSync(join(root, '.a.crt'), block('new'));
    renameSync(join(root, '.a.crt'), join(root, 'a.crt'));
    const opened = beforeEach(t, 'open', () => {});
    assert.deepEqual(textsOf(await read(root, reader)), { 'a.crt': block('new') });
    assert.equal(opened.get('a.crt'), 1);
  });

  test('is doubted when it was written over in place: its end may be that of the old one', async (t) => {
    const root = await place(t);
    const path = join(root, 'a.crt');
    const reader = new SnapshotReader();
    replace(root, 'a.crt', block('old leaf') + block('old issuer'));
    await read(root, reader);
    writeFileSync(path, block('new leaf'), { flag: 'r+' });
    beforeEach(t, 'open', (_name, times) => {
      if (times === 2) writeFileSync(path, block('new leaf') + block('new issuer'), { flag: 'r+' });
    });
    assert.deepEqual(textsOf(await read(root, reader)), { 'a.crt': block('new leaf') + block('new issuer') });
  });
});

describe('a Kubernetes volume is read through one target of `..data`', () => {
  test('also when it is swapped between the reading of two files', async (t) => {
    const root = await place(t);
    await new KubernetesVolume(root).update({ 'tls.crt': 'old', 'tls.key': 'old' });
    betweenReadings(t, 'tls.crt', 'tls.key', () => swap(root, 'new', ['tls.crt', 'tls.key']));
    assert.deepEqual(textsOf(await read(root)), { 'tls.crt': 'new', 'tls.key': 'new' });
  });

  test('also when the target that was found is still there after the swap', async (t) => {
    const root = await place(t);
    await new KubernetesVolume(root).update({ 'tls.crt': 'old', 'tls.key': 'old' });
    betweenReadings(t, 'tls.crt', 'tls.key', () => {
      mkdirSync(join(root, '..next'));
      for (const file of ['tls.crt', 'tls.key']) writeFileSync(join(root, '..next', file), 'new');
      symlinkSync('..next', join(root, '..data_tmp'));
      renameSync(join(root, '..data_tmp'), join(root, '..data'));
    });
    assert.deepEqual(textsOf(await read(root)), { 'tls.crt': 'new', 'tls.key': 'new' });
  });

  test('under a storm of swaps every snapshot is of one version', async (t) => {
    const root = await place(t);
    const volume = new KubernetesVolume(root);
    const names = ['ca.crt', 'tls.crt', 'tls.key'];
    const version = (text: string) => Object.fromEntries(names.map((name) => [name, text]));
    await volume.update(version('0'));
    let done = false;
    const storm = (async () => {
      for (let i = 1; i <= 100; i += 1) await volume.update(version(String(i)));
      done = true;
    })();
    const reader = new ThreadedReader();
    let read1 = 0;
    while (!done) {
      const snapshot = await readBeside(root, reader).catch((error) =>
        unstable(error) ? null : Promise.reject(error),
      );
      if (snapshot === null) continue;
      read1 += 1;
      const texts = textsOf(snapshot);
      assert.equal(new Set(Object.values(texts)).size, 1, JSON.stringify(texts));
      assert.equal(snapshot.faults.size, 0);
    }
    await storm;
    assert.ok(read1 > 0);
    assert.deepEqual(textsOf(await readBeside(root, reader)), version('100'));
  });

  test('is an error while it is swapped under every single attempt', { timeout: 20_000 }, async (t) => {
    const root = await place(t);
    await new KubernetesVolume(root).update({ 'tls.crt': 'old', 'tls.key': 'old' });
    beforeEach(t, 'open', (name, times) => {
      if (name === 'tls.crt') swap(root, String(times), ['tls.crt', 'tls.key']);
    });
    await assert.rejects(read(root), unstable);
  });

  test('names only the visible files, watches the directory of the link, and settles nothing', async (t) => {
    const root = await place(t);
    await new KubernetesVolume(root).update({ 'tls.crt': 'x', 'tls.key': 'y' });
    const opened = beforeEach(t, 'open', () => {});
    const snapshot = await read(root);
    assert.deepEqual(textsOf(snapshot), { 'tls.crt': 'x', 'tls.key': 'y' });
    assert.deepEqual(snapshot.watch, [{ directory: root, recursive: true }]);
    assert.deepEqual([...opened.values()], [1, 1]);
  });
});

describe('a lineage of certbot', () => {
  test('is read through its links, and both ends of them are watched', async (t) => {
    const root = await place(t);
    const live = new CertbotLive(root, 'app');
    const leaf = await (await (await createAuthority()).intermediate()).issue();
    await live.renew(leaf);
    const snapshot = await read(live.directory);
    assert.deepEqual(textsOf(snapshot), {
      'cert.pem': leaf.certificatePem,
      'chain.pem': leaf.chainPem.slice(leaf.certificatePem.length),
      'fullchain.pem': leaf.chainPem,
      'privkey.pem': leaf.keyPem,
    });
    assert.deepEqual(snapshot.watch, [
      { directory: live.directory, recursive: true },
      { directory: join(root, 'archive', 'app'), recursive: false },
    ]);
  });

  test('has all of its files also when one link is just being replaced', async (t) => {
    const root = await place(t);
    const live = new CertbotLive(root, 'app');
    await live.renew(await (await createAuthority()).issue());
    const link = join(live.directory, 'fullchain.pem');
    const target = readlinkSync(link);
    rmSync(link);
    beforeEach(t, 'open', (name, times) => {
      if (name === 'cert.pem' && times === 1) symlinkSync(target, link);
    });
    assert.equal((await read(live.directory)).files.has('fullchain.pem'), true);
  });
});
