import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { Writable } from 'node:stream';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { Outgoing } from '../../src/upstream/outgoing.ts';

const block = 64 * 1024;

/** A stream that takes what is written when it is let, as a socket does whose other side reads slowly. */
class Slow extends Writable {
  readonly writes: Buffer[] = [];
  readonly #waiting: (() => void)[] = [];
  /** What was taken, as it was by then. */
  taken = Buffer.alloc(0);

  constructor() {
    super({ highWaterMark: 1 });
  }

  override _write(chunk: Buffer, _: BufferEncoding, done: (error?: Error | null) => void): void {
    this.writes.push(chunk);
    this.#waiting.push(() => {
      this.taken = Buffer.concat([this.taken, chunk]);
      done();
    });
  }

  take(): void {
    this.#waiting.shift()?.();
  }
}

test('what is written in one turn goes out in one piece, when the turn is over', async () => {
  const to = new Slow();
  const outgoing = new Outgoing(to);
  for (const part of ['first ', 'second ']) {
    outgoing.bytes(Buffer.from(part));
    outgoing.flushSoon();
  }
  outgoing.text('third');
  assert.deepEqual(to.writes, []);
  await turn();
  assert.deepEqual(to.writes.map(String), ['first second third']);
  to.take();
  await turn();
  assert.equal(to.writes.length, 1);
});

test('what was lent may change at once, and what is under way is not written over', async () => {
  const to = new Slow();
  const outgoing = new Outgoing(to);
  const sent: Buffer[] = [];
  const lent = Buffer.alloc(40_000);
  for (let i = 0; i < 60; i += 1) {
    const part = randomBytes(1 + ((i * 7919) % lent.length));
    sent.push(part);
    part.copy(lent);
    outgoing.bytes(lent.subarray(0, part.length));
    lent.fill(0);
    outgoing.flushSoon();
    if (i % 3 === 0) await turn();
    if (i % 2 === 0) to.take();
  }
  outgoing.flush();
  while (to.writableLength > 0) {
    to.take();
    await turn();
  }
  assert.ok(to.taken.equals(Buffer.concat(sent)));
  assert.ok(to.writes.every(({ length }) => length <= block));
});

test('memory is used again once it was taken, and not before', async () => {
  const to = new Slow();
  const outgoing = new Outgoing(to);
  const write = (text: string) => {
    outgoing.bytes(Buffer.from(text));
    outgoing.flush();
  };
  write('one');
  write('two');
  to.take();
  await turn();
  write('three');
  to.take();
  await turn();
  to.take();
  const [one, two, three] = to.writes.map(({ buffer }) => buffer);
  assert.notEqual(one, two);
  assert.equal(three, one);
  assert.equal(String(to.taken), 'onetwothree');
});

test('nothing is written to a stream that is gone, and its memory is left alone', async () => {
  const to = new Slow();
  to.on('error', () => {});
  const outgoing = new Outgoing(to);
  outgoing.bytes(Buffer.from('under way'));
  outgoing.flush();
  outgoing.bytes(Buffer.from('too late'));
  outgoing.flushSoon();
  to.destroy(new Error('reset'));
  await turn();
  const other = new Slow();
  const next = new Outgoing(other);
  next.bytes(Buffer.from('of another'));
  next.flush();
  assert.deepEqual(to.writes.map(String), ['under way']);
  assert.notEqual(other.writes[0]?.buffer, to.writes[0]?.buffer);
});
