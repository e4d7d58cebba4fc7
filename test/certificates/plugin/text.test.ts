import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { complaintOf, PluginLog, presentable } from '../../../src/certificates/plugin/text.ts';
import { exportPrivateKey, generateKeys } from '../../support/keys.ts';

test('a text shows its first line, without control characters, cut at 300', () => {
  assert.equal(presentable('\n  \n one\u001b[31m\ttwo \n three'), 'one [31m two');
  assert.equal(presentable('é '.repeat(500)), 'é '.repeat(150).slice(0, 300));
  assert.equal(presentable(''), '');
});

test('a key in a text is not shown, whole, cut short, escaped or without its boundaries', async () => {
  const pem = exportPrivateKey(await generateKeys('rsa-2048'), 'pkcs8');
  const body = pem.split('\n').slice(1, -2);
  for (const text of [
    pem,
    `cannot parse ${pem} at all`,
    `cannot parse ${pem.slice(0, 200)}`,
    JSON.stringify({ pem }),
    `got ${body.join('')}`,
    `got ${body[0]}`,
    `two: ${pem}${pem}`,
    `${'x'.repeat(64 * 1024 - 100)} ${pem}`,
  ]) {
    const shown = presentable(text);
    for (const line of body) assert.ok(!shown.includes(line.slice(0, 40)), shown);
  }
  assert.equal(presentable(`cannot parse ${pem.trimEnd()} at all`), 'cannot parse [PEM] at all');
});

describe('whatever is thrown has a message', () => {
  const hostile = {
    toString() {
      throw new Error('no');
    },
  };
  for (const [thrown, message] of [
    [new Error('why'), 'why'],
    [new TypeError(''), 'TypeError'],
    ['text', 'text'],
    [null, 'null'],
    [undefined, 'undefined'],
    [Symbol('s'), 'Symbol(s)'],
    ['', 'no message'],
    [hostile, 'something that cannot be shown was thrown'],
  ] as const) {
    test(message, () => assert.equal(complaintOf(thrown), message));
  }
});

test('a log lets a hundred lines through from one load to the next', () => {
  const lines: string[] = [];
  const log = new PluginLog((line) => lines.push(line));
  for (let i = 0; i < 150; i += 1) log.line(`line ${i}`);
  log.print('more\nand more\n');
  assert.equal(lines.length, 101);
  assert.equal(lines.at(-1), 'further lines are dropped until the next load');
  log.refill();
  log.print('again\n\n-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n');
  assert.deepEqual(lines.slice(101), ['again', '[PEM]']);
});
