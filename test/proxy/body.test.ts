import assert from 'node:assert/strict';
import { once } from 'node:events';
import { PassThrough, Readable } from 'node:stream';
import { describe, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type BodySink, ClientGone, ClientStalled, lingering, StreamBody } from '../../src/proxy/body.ts';
import { bounded } from '../support/swivel.ts';
import { Clock } from './support/clock.ts';

const patience = 1000;

/** Writes down what it is told. */
class Recorder implements BodySink {
  readonly parts: string[] = [];
  /** How it ended; more than one would be one too many. */
  readonly ends: (Error | null)[] = [];
  /** Resolves when it ended. */
  readonly over: Promise<Error | null>;
  readonly #end: (error: Error | null) => void;
  readonly #whenPart: () => void;
  #told = () => {};

  constructor(whenPart: () => void = () => {}) {
    const { promise, resolve } = Promise.withResolvers<Error | null>();
    this.over = promise;
    this.#end = resolve;
    this.#whenPart = whenPart;
  }

  get text(): string {
    return this.parts.join('');
  }

  /** Resolves when so many parts were taken. */
  async until(count: number): Promise<void> {
    while (this.parts.length < count) {
      await new Promise<void>((resolve) => {
        this.#told = resolve;
      });
    }
  }

  onBody(chunk: Buffer): void {
    this.parts.push(chunk.toString());
    this.#whenPart();
    this.#told();
  }

  onBodyEnd(): void {
    this.ends.push(null);
    this.#end(null);
  }

  onBodyError(error: Error): void {
    this.ends.push(error);
    this.#end(error);
  }
}

function poured(from: Readable, recorder = new Recorder()): { body: StreamBody; recorder: Recorder } {
  const body = new StreamBody(from, patience);
  body.pour(recorder);
  return { body, recorder };
}

describe('StreamBody', () => {
  test('passes on what the client sends, and nothing before somebody wants it', bounded, async () => {
    const client = new PassThrough();
    client.write('one');
    const body = new StreamBody(client, patience);
    await nextTurn();
    assert.deepEqual([body.started, client.readableLength], [false, 3]);
    const recorder = new Recorder();
    body.pour(recorder);
    client.end('two');
    await recorder.over;
    assert.deepEqual([body.started, recorder.text, recorder.ends], [true, 'onetwo', [null]]);
  });

  test('knows that nothing comes only when the client said so, and nothing is left', bounded, async () => {
    const client = new PassThrough();
    let ended = false;
    const body = new StreamBody(client, patience, () => ended);
    assert.equal(body.empty, false);
    ended = true;
    assert.equal(body.empty, true);
    client.write('x');
    assert.equal(body.empty, false);
    body.pour(new Recorder());
    client.end();
    await once(client, 'end');
    assert.equal(body.empty, false);
  });

  test('holds the client up while it is paused', bounded, async () => {
    const client = new PassThrough();
    const { body, recorder } = poured(client);
    body.pause();
    while (client.write(Buffer.alloc(16 * 1024)));
    await nextTurn();
    assert.deepEqual([client.isPaused(), recorder.parts], [true, []]);
    body.resume();
    client.end();
    await recorder.over;
    assert.ok(recorder.text.length >= 16 * 1024);
  });

  test('may be paused by whoever takes a part', bounded, async () => {
    const client = Readable.from([Buffer.from('one'), Buffer.from('two')], { objectMode: false });
    const recorder = new Recorder(() => body.pause());
    const { body } = poured(client, recorder);
    await recorder.until(1);
    await nextTurn();
    assert.deepEqual(recorder.parts, ['one']);
    body.resume();
    await recorder.until(2);
    body.resume();
    await recorder.over;
    assert.equal(recorder.text, 'onetwo');
  });

  test('fails as gone, and does not end, when the client leaves in the middle', bounded, async () => {
    for (const leave of [
      (client: PassThrough) => client.destroy(),
      (client: PassThrough) => client.destroy(new Error('reset')),
    ]) {
      const client = new PassThrough();
      const { recorder } = poured(client);
      client.write('part');
      await recorder.until(1);
      leave(client);
      assert.ok((await recorder.over) instanceof ClientGone);
      await nextTurn();
      assert.deepEqual([recorder.text, recorder.ends.length], ['part', 1]);
    }
  });

  test('fails as gone when the client left before it was wanted', bounded, async () => {
    const client = new PassThrough();
    client.destroy();
    assert.ok((await poured(client).recorder.over) instanceof ClientGone);
  });

  test('ends at once when the client had sent all of it before', bounded, async () => {
    const client = Readable.from([]);
    client.resume();
    await once(client, 'end');
    assert.deepEqual(poured(client).recorder.ends, [null]);
  });

  test('leaves the client its stream when nobody wants it any more, and drops the rest', bounded, async () => {
    const client = new PassThrough();
    const recorder = new Recorder(() => body.discard());
    const { body } = poured(client, recorder);
    client.write('part');
    await recorder.until(1);
    assert.equal(client.destroyed, false);
    client.end(Buffer.alloc(1024 * 1024));
    await once(client, 'end');
    assert.deepEqual([recorder.parts, recorder.ends], [['part'], []]);
  });

  test('waits for a client that owes it something only so long, counted from its last piece', bounded, async (t) => {
    const clock = new Clock(t);
    const client = new PassThrough();
    const { recorder } = poured(client);
    for (let i = 1; i <= 3; i++) {
      clock.tick(patience - 1);
      client.write('piece');
      await recorder.until(i);
    }
    assert.deepEqual(recorder.ends, []);
    clock.tick(patience);
    assert.ok((await recorder.over) instanceof ClientStalled);
  });

  test('has all the patience in the world when nothing is owed', bounded, async (t) => {
    const clock = new Clock(t);
    const held = poured(new PassThrough());
    held.body.pause();
    const unwanted = poured(new PassThrough());
    unwanted.body.discard();
    const complete = poured(Readable.from([Buffer.from('all')], { objectMode: false }));
    await complete.recorder.over;
    new StreamBody(new PassThrough(), patience);
    clock.tick(patience * 10);
    assert.deepEqual([held.recorder.ends, unwanted.recorder.ends, complete.recorder.ends], [[], [], [null]]);
    held.body.resume();
    clock.tick(patience);
    assert.ok(held.recorder.ends[0] instanceof ClientStalled);
  });
});

describe('a body that nobody wants', () => {
  test('is cut off when its client goes on for too long', bounded, async (t) => {
    const clock = new Clock(t);
    const client = new PassThrough();
    new StreamBody(client, patience).discard();
    clock.tick(lingering - 1);
    assert.equal(client.destroyed, false);
    clock.tick(1);
    assert.equal(client.destroyed, true);
  });

  test('is left in peace when it came to its end', bounded, async (t) => {
    const clock = new Clock(t);
    const client = new PassThrough({ autoDestroy: false });
    new StreamBody(client, patience).discard();
    client.end('rest');
    await once(client, 'end');
    clock.tick(lingering * 2);
    assert.equal(client.destroyed, false);
  });
});
