import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { flushing, patience } from '../../../src/proxy/last-words.ts';
import { Parting } from '../../../src/proxy/plain/parting.ts';

/** As much of a socket as is looked at. */
class LeavingSocket {
  ended = false;
  reading = false;
  destroyed = false;
  writableFinished = false;
  end(): void {
    this.ended = true;
  }
  resume(): void {
    this.reading = true;
  }
  destroy(): void {
    this.destroyed = true;
  }
}

function part(): { socket: LeavingSocket; parting: Parting } {
  const socket = new LeavingSocket();
  return { socket, parting: new Parting(socket as unknown as TLSSocket) };
}

test('who parts ends its side and reads on, so that the client gets to read the answer', () => {
  const { socket } = part();
  assert.deepEqual([socket.ended, socket.reading, socket.destroyed], [true, true, false]);
});

test('a client that does not take the last answer is given up after a time that counts from the first look', () => {
  const { socket, parting } = part();
  parting.check(1000);
  parting.check(1000 + flushing - 1);
  assert.equal(socket.destroyed, false);
  parting.check(1000 + flushing);
  assert.equal(socket.destroyed, true);
});

test('a client that has the answer and does not leave is given up after a time of its own', () => {
  const { socket, parting } = part();
  parting.check(1000);
  socket.writableFinished = true;
  parting.check(flushing);
  parting.check(flushing + patience - 1);
  assert.equal(socket.destroyed, false);
  parting.check(flushing + patience);
  assert.equal(socket.destroyed, true);
});
