import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, fstatSync, openSync, readlinkSync, writeSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { openSheetFiles, type Reading, Sheet, type SheetFiles, SheetReader } from '../../../src/observe/index.ts';
import { frameAt } from '../../../src/observe/sheet/layout.ts';
import { bounded } from '../../support/swivel.ts';

function openFiles(t: TestContext): SheetFiles {
  const files = openSheetFiles();
  assert.ok(files);
  t.after(() => files.close());
  return files;
}

function openSheet(t: TestContext, files: SheetFiles): Sheet {
  const sheet = new Sheet(files);
  t.after(() => sheet.close());
  return sheet;
}

function valuesOf({ series, values }: Reading): Record<string, number[]> {
  const entry = ({ family, labels, slot, slots }: Reading['series'][number]) =>
    [[family, ...labels].join(' '), [...values.subarray(slot, slot + slots)]] as [string, number[]];
  return Object.fromEntries(series.map(entry));
}

function startChild(files: SheetFiles, ...args: string[]) {
  const stdio = ['ignore', 'inherit', 'inherit', 'ipc', files.counts, files.series, 'pipe'] as const;
  return fork(new URL('../support/counting-child.ts', import.meta.url), args, { execArgv: [], stdio: [...stdio] });
}

test('a reader sees at the end of the turn what was counted, also of series that came later', async (t) => {
  const files = openFiles(t);
  const sheet = openSheet(t, files);
  assert.deepEqual(files.reader.read(), { series: [], values: new Float64Array(0) });
  const first = sheet.open('a', [], 1);
  sheet.add(first, 2);
  assert.equal(files.reader.read().series.length, 0);
  await nextTurn();
  assert.deepEqual(valuesOf(files.reader.read()), { a: [2] });
  const labels = ['one "two"', '\n3 ö'];
  sheet.add(sheet.open('b', labels, 3) + 1, 0.5);
  sheet.set(first, 3);
  await nextTurn();
  assert.deepEqual(valuesOf(files.reader.read()), { a: [3], [`b ${labels.join(' ')}`]: [0, 0.5, 0] });
  for (let i = 0; i < 5000; i++) sheet.add(sheet.open('c', [String(i)], 1), i);
  await nextTurn();
  const { series, values } = files.reader.read();
  assert.deepEqual([series.length, values.length], [5002, 5004]);
  assert.ok(series.slice(2).every(({ labels: [label], slot }) => values[slot] === Number(label)));
});

test('the files have no name and are for this user only; without a place there are none', (t) => {
  const files = openFiles(t);
  for (const file of [files.counts, files.series]) {
    const { mode, nlink } = fstatSync(file);
    assert.deepEqual([mode & 0o777, nlink], [0o600, 0]);
  }
  assert.equal(openSheetFiles(['/nowhere', '/proc/self/fd']), null);
  const elsewhere = openSheetFiles(['/nowhere', import.meta.dirname]);
  assert.ok(elsewhere);
  assert.match(readlinkSync(`/proc/self/fd/${elsewhere.counts}`), new RegExp(`^${import.meta.dirname}/.*deleted`));
  elsewhere.close();
  elsewhere.close();
  assert.throws(() => fstatSync(elsewhere.counts), { code: 'EBADF' });
});

test('what a killed writer left half written is not read: a frame, a series, a number without its frame', (t) => {
  const files = openFiles(t);
  const sheet = openSheet(t, files);
  const slot = sheet.open('a', [], 1);
  for (let turn = 1; turn <= 5; turn++) {
    sheet.add(slot, 1);
    sheet.flush();
  }
  const half = Float64Array.of(6, 1, 600);
  writeSync(files.counts, half, 0, half.byteLength, frameAt(6));
  const end = fstatSync(files.series).size;
  writeSync(files.series, 'nonsense\n["b",0,1,{}]\n["b",0,', end);
  assert.deepEqual(valuesOf(files.reader.read()), { a: [5] });
  writeSync(files.series, '1]\n', fstatSync(files.series).size);
  assert.deepEqual(valuesOf(files.reader.read()), { a: [5], b: [5] });

  writeSync(files.counts, Float64Array.of(6), 0, 8, 0);
  assert.throws(() => files.reader.read(), /no reading of the counts/);
  writeSync(files.counts, Float64Array.of(2, 1, 600, 6), 0, 32, frameAt(6));
  assert.throws(() => files.reader.read(), /no reading of the counts/);
  sheet.add(slot, 1);
  sheet.flush();
  assert.deepEqual(valuesOf(files.reader.read())['a'], [6]);
});

test('a frame that is written to again while it is read is not taken', (t) => {
  const files = openFiles(t);
  const sheet = openSheet(t, files);
  const slot = sheet.open('a', [], 1);
  sheet.flush();
  let uses = 0;
  const reader = new SheetReader({
    series: files.series,
    get counts() {
      // The third use: frame 1 was read, and its number is asked for again. By now its place may be written to by frame 5.
      if (++uses === 3) {
        for (let turn = 2; turn <= 4; turn++) {
          sheet.add(slot, 1);
          sheet.flush();
        }
      }
      return files.counts;
    },
  });
  assert.deepEqual(valuesOf(reader.read()), { a: [3] });
});

test('what could not be written, for want of room, is written with the next change', (t) => {
  const files = openFiles(t);
  const full = openSync('/dev/full', 'w');
  t.after(() => closeSync(full));
  const room = { counts: false, series: false };
  const sheet = new Sheet({
    get counts() {
      return room.counts ? files.counts : full;
    },
    get series() {
      return room.series ? files.series : full;
    },
  });
  t.after(() => sheet.close());
  const slot = sheet.open('a', ['ö'], 1);
  const count = () => {
    sheet.add(slot, 1);
    sheet.flush();
    return valuesOf(files.reader.read());
  };
  assert.deepEqual(count(), {});
  room.counts = true;
  assert.deepEqual(count(), {}, 'no slot without its meaning');
  room.series = true;
  assert.deepEqual(count(), { 'a ö': [3] });
  room.counts = false;
  assert.deepEqual(count(), { 'a ö': [3] });
  sheet.open('b', [], 1);
  room.counts = true;
  assert.deepEqual(count(), { 'a ö': [5], b: [0] });
});

test('frames whose number could not be written do not touch the one that is read', (t) => {
  const files = openFiles(t);
  const full = openSync('/dev/full', 'w');
  t.after(() => closeSync(full));
  let [failing, uses] = [false, 0];
  const sheet = new Sheet({
    series: files.series,
    get counts() {
      // In turn for the frame and for its number.
      return failing && uses++ % 2 === 1 ? full : files.counts;
    },
  });
  t.after(() => sheet.close());
  const slot = sheet.open('a', [], 1);
  sheet.flush();
  failing = true;
  for (let turn = 0; turn < 9; turn++) {
    sheet.add(slot, 1);
    sheet.flush();
    assert.deepEqual(valuesOf(files.reader.read()), { a: [0] });
  }
  failing = false;
  sheet.flush();
  assert.deepEqual(valuesOf(files.reader.read()), { a: [9] });
});

for (const how of ['exit', 'end']) {
  test(`what was counted last is there after the process ended (${how}), which it did not hold`, bounded, async (t) => {
    const files = openFiles(t);
    const child = startChild(files, how);
    assert.deepEqual(await once(child, 'exit'), [0, null]);
    assert.deepEqual(valuesOf(files.reader.read())['swivel_connections_total'], [7]);
  });
}

test(
  'a process that is killed while it counts leaves every count that it had written; no reading is torn',
  bounded,
  async (t) => {
    for (let round = 0; round < 3; round++) {
      const files = openFiles(t);
      const child = startChild(files);
      const ended = once(child, 'exit');
      t.after(() => child.kill('SIGKILL'));
      let told = 0;
      const acknowledgements = (child.stdio as unknown as Readable[])[6];
      acknowledgements?.on('data', (chunk: Buffer) => {
        told = Math.max(told, Number(chunk.toString('latin1').trimEnd().split('\n').at(-1)));
      });
      let before = 0;
      const check = () => {
        const reading = files.reader.read();
        const counted = valuesOf(reading);
        const connections = counted['swivel_connections_total']?.[0] ?? 0;
        const refusals = reading.series.filter(({ family }) => family === 'swivel_certificate_refusals_total');
        const sum = refusals.reduce((total, { slot }) => total + (reading.values[slot] as number), 0);
        const requests = counted['swivel_request_duration_seconds']?.at(-1) ?? 0;
        assert.deepEqual([sum, requests], [connections, connections]);
        assert.ok(connections >= before);
        before = connections;
      };
      while (told < 4000 + round * 1501) {
        for (let i = 0; i < 20; i++) check();
        await nextTurn();
      }
      child.kill('SIGKILL');
      assert.deepEqual(await ended, [null, 'SIGKILL']);
      check();
      assert.ok(before >= told, `${before} are left of ${told}`);
      assert.deepEqual(valuesOf(new SheetReader(files).read()), valuesOf(files.reader.read()));
    }
  },
);

test('what is to be kept is written at once', (t) => {
  const files = openFiles(t);
  const sheet = new Sheet(files);
  t.after(() => sheet.close());
  sheet.add(sheet.open('a', [], 1), 2);
  sheet.keep();
  assert.deepEqual(valuesOf(files.reader.read()), { a: [2] });
});
