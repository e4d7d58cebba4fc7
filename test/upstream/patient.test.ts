import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bounded } from '../support/swivel.ts';
import { response, startUpstream } from '../support/upstream.ts';
import { Line } from './support/caller.ts';

const part = Buffer.alloc(1024);

for (const [name, framing] of [
  ['of a known length', { length: 4 * part.length }],
  ['in chunks', 'chunked'],
] as const) {
  test(`an upload ${name} that fails to be written takes nothing of the answer that is there`, bounded, async (t) => {
    const refusal = response('too large', ['Connection: close'], '413 Content Too Large');
    const upstream = await startUpstream(t, () => undefined);
    const line = new Line(t, upstream.url);
    // As a client does that is slow to take the answer: otherwise all of it is read before the write fails.
    const pauses = (event: string) => event === 'head' && caller.wire?.pause();
    const caller = line.ask({ method: 'POST', framing, on: pauses });
    const { connection } = await upstream.next();
    caller.wire?.write(part);
    connection.socket.write(refusal.slice(0, -4));
    await caller.until(() => caller.status !== 0);
    // As the system closes a connection on which something was not read.
    connection.socket.write(refusal.slice(-4), () => connection.socket.resetAndDestroy());
    await connection.closed;
    caller.wire?.write(part);
    caller.wire?.resume();
    const { status, body, outcome } = await caller.over;
    assert.deepEqual([status, body, outcome], [413, 'too large', 'end']);
  });
}
