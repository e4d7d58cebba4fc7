import assert from 'node:assert/strict';
import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { RawOutput } from '../../../src/certificates/plugin/raw-output.ts';
import { PluginLog } from '../../../src/certificates/plugin/text.ts';
import { exportPrivateKey, generateKeys } from '../../support/keys.ts';

async function outputOf(...chunks: readonly (string | Buffer)[]) {
  const lines: string[] = [];
  const stream = new PassThrough();
  const output = new RawOutput(stream, new PluginLog((line) => lines.push(line)));
  output.hurry();
  for (const chunk of chunks) stream.write(chunk);
  stream.end();
  await once(stream, 'close');
  return { lines, output };
}

test('lines go to the log, wherever the pipe cuts them, and none of them is of a key', async () => {
  const pem = exportPrivateKey(await generateKeys('ec-p256'), 'pkcs8');
  const bytes = Buffer.from(`é one\n\nkey: ${pem}two\n${pem}three`);
  for (let at = 1; at < bytes.length; at += 1) {
    const { lines } = await outputOf(bytes.subarray(0, at), bytes.subarray(at));
    assert.deepEqual(lines, ['é one', 'key: [PEM]', 'two', '[PEM]', 'three']);
  }
});

test('a line without end is not collected', async () => {
  const { lines } = await outputOf('start ', ...Array.from({ length: 100 }, () => ' word'.repeat(10_000)), '\nnext\n');
  assert.equal(lines.length, 2);
  assert.match(lines[0] ?? '', /^start {2}word/);
  assert.equal(lines[1], 'next');
});

for (const [what, text, outOfMemory] of [
  [
    'for want of memory',
    '\n<--- Last few GCs --->\n\n[1:0x2] 98 ms\n\nFATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory\n----- Native stack trace -----\n 1: 0xbadc0de\n',
    true,
  ],
  [
    'of a thing that is too large',
    '#\n# Fatal error in , line 0\n# Fatal JavaScript invalid size error 268435456\n#\n----- Native stack trace -----\n',
    true,
  ],
  ['by its own hand', '----- Native stack trace -----\n 1: 0xbadc0de\n', false],
] as const) {
  test(`what Node prints of a process that dies ${what} is understood, and does not fill the log`, async () => {
    const { lines, output } = await outputOf(`before\n${text}`);
    assert.deepEqual(
      lines.filter((line) => line !== '#'),
      ['before'],
    );
    assert.equal(output.outOfMemory, outOfMemory);
  });
}

test('reads with pauses, so that output without end does not fill the event loop', async () => {
  const stream = new PassThrough();
  const output = new RawOutput(stream, new PluginLog(() => {}));
  // Before it waits: a stream that flows hands on at once what is written.
  const paused = once(stream, 'pause');
  stream.write('x\n');
  await paused;
  assert.ok(stream.isPaused());
  output.hurry();
  assert.ok(!stream.isPaused());
});
