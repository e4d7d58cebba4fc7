import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { Outbox } from '../../../src/proxy/plain/outbox.ts';

/** Notes each write. What it is lent it keeps until it was taken, as a socket does that is busy. */
class FakeSocket {
  readonly kept: Buffer[] = [];
  readonly written: string[] = [];
  busy = false;
  writable = true;
  writableNeedDrain = false;

  get writableLength(): number {
    return this.busy ? 1 : 0;
  }

  write(chunk: Buffer): boolean {
    if (this.busy) this.kept.push(chunk);
    else this.written.push(chunk.toString('latin1'));
    return true;
  }

  get text(): string {
    return this.written.join('') + Buffer.concat(this.kept).toString('latin1');
  }
}

function create(): { socket: FakeSocket; outbox: Outbox } {
  const socket = new FakeSocket();
  return { socket, outbox: new Outbox(socket as unknown as TLSSocket) };
}

describe('Outbox', () => {
  test('writes what was collected at once', () => {
    const { socket, outbox } = create();
    outbox.text('head\xe9');
    outbox.bytes(Buffer.from('body'));
    assert.deepEqual(socket.written, []);
    outbox.send();
    outbox.send();
    assert.deepEqual(socket.written, ['head\xe9body']);
  });

  test('sends what another had collected before it begins: nothing gets to a stranger, nothing is lost', () => {
    const [a, b] = [create(), create()];
    a.outbox.text('for a');
    b.outbox.text('for b');
    a.outbox.text(', more');
    b.outbox.bytes(Buffer.from(', more'));
    a.outbox.send();
    b.outbox.send();
    assert.deepEqual([a.socket.text, b.socket.text], ['for a, more', 'for b, more']);
  });

  test('keeps the order, whatever the sizes', () => {
    const { socket, outbox } = create();
    const pieces = ['a', 'b'.repeat(20_000), 'c', 'd'.repeat(300_000), 'e', ...Array(100).fill('f'.repeat(10_000))];
    for (const piece of pieces) outbox.bytes(Buffer.from(piece));
    for (const piece of pieces) outbox.text(piece);
    outbox.send();
    assert.ok(socket.text === pieces.join('') + pieces.join(''));
  });

  test('copies what the socket cannot take yet, for it changes afterwards', () => {
    const { socket, outbox } = create();
    socket.busy = true;
    const lent = Buffer.alloc(100_000, 'a');
    outbox.bytes(lent);
    lent.fill('b');
    outbox.text('small');
    outbox.send();
    outbox.text('other');
    outbox.send();
    assert.ok(socket.text === `${'a'.repeat(100_000)}smallother`);
  });

  test('drops what is for one who is gone, and hands nothing on', () => {
    const [gone, next] = [create(), create()];
    gone.outbox.text('secret');
    gone.socket.writable = false;
    next.outbox.text('mine');
    next.outbox.send();
    gone.outbox.send();
    assert.deepEqual([gone.socket.text, next.socket.text], ['', 'mine']);
  });
});
