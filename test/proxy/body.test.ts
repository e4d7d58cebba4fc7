import assert from 'node:assert/strict';
import { once } from 'node:events';
import { PassThrough, Readable } from 'node:stream';
import { describe, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { ClientGone, ClientStalled, discard, RequestBody } from '../../src/proxy/body.ts';
import { bounded } from '../support/swivel.ts';

const patience = 1000;

describe('RequestBody', () => {
  test('passes on what the client sends, and nothing before somebody reads', bounded, async () => {
    const client = Readable.from(['one', 'two'], { objectMode: false });
    const body = new RequestBody(client, patience);
    assert.equal(body.started, false);
    assert.equal(Buffer.concat(await body.toArray()).toString(), 'onetwo');
    assert.equal(body.started, true);
  });

  test('holds the client up when it is not read', bounded, () => {
    const client = new PassThrough();
    const body = new RequestBody(client, patience);
    body.read(0);
    while (!client.isPaused()) client.emit('data', Buffer.alloc(64 * 1024));
    body.read();
    assert.equal(client.isPaused(), false);
  });

  test('is destroyed as gone, not ended, when the client leaves in the middle', bounded, async () => {
    for (const leave of [
      (client: PassThrough) => client.destroy(),
      (client: PassThrough) => client.destroy(new Error('reset')),
    ]) {
      const client = new PassThrough();
      client.on('error', () => {});
      const body = new RequestBody(client, patience);
      body.resume();
      client.write('part');
      await once(body, 'data');
      const failed = once(body, 'error');
      leave(client);
      assert.ok((await failed)[0] instanceof ClientGone);
      assert.equal(body.readableEnded, false);
    }
  });

  test('is destroyed as gone when the client left before it was read', bounded, async () => {
    const client = new PassThrough();
    client.destroy();
    const body = new RequestBody(client, patience).resume();
    assert.ok((await once(body, 'error'))[0] instanceof ClientGone);
  });

  test('leaves the client its stream when its reader gives up, and discards the rest', bounded, async () => {
    const client = new PassThrough();
    const body = new RequestBody(client, patience);
    body.once('data', () => body.destroy());
    client.write('part');
    await once(body, 'close');
    assert.equal(client.destroyed, false);
    client.end(Buffer.alloc(1024 * 1024));
    await once(client, 'end');
  });

  test('waits for a client that owes it something only so long, counted from its last piece', bounded, async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const client = new PassThrough();
    const body = new RequestBody(client, patience).resume();
    await nextTurn();
    for (let i = 0; i < 3; i++) {
      t.mock.timers.tick(patience - 1);
      client.write('piece');
      await once(body, 'data');
    }
    const failed = once(body, 'error');
    t.mock.timers.tick(patience);
    assert.ok((await failed)[0] instanceof ClientStalled);
  });

  test('has all the patience in the world when nothing is owed', bounded, async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const held = new PassThrough();
    const unread = new RequestBody(held, patience);
    unread.read(0);
    while (!held.isPaused()) held.emit('data', Buffer.alloc(64 * 1024));
    const complete = new RequestBody(Readable.from(['all']), patience);
    await complete.toArray();
    t.mock.timers.tick(patience * 10);
    assert.deepEqual([unread.errored, complete.errored], [null, null]);
    assert.equal((await new RequestBody(complete, patience).toArray()).length, 0);
  });
});

describe('discard', () => {
  test('cuts off a client that goes on for too long', bounded, async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const client = new PassThrough();
    discard(client);
    t.mock.timers.tick(29_999);
    assert.equal(client.destroyed, false);
    t.mock.timers.tick(1);
    assert.equal(client.destroyed, true);
  });

  test('leaves one that came to its end in peace', bounded, async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const client = new PassThrough({ autoDestroy: false });
    discard(client);
    client.end('rest');
    await once(client, 'end');
    t.mock.timers.tick(60_000);
    assert.equal(client.destroyed, false);
  });
});
