import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { nodeResponse } from '../fuzz/support/node-reader.ts';
import { plainResponse } from '../fuzz/support/plain-reader.ts';
import { type AnsweringDoors, startAnsweringDoors } from './differential/answering.ts';
import { readAnyway, unsolved } from './differential/deliberate.ts';
import { responseCorpus as all, type End } from './differential/response-corpus.ts';
import { seamsOf } from './differential/seams.ts';

const responseCorpus = new Map([...all].filter(([name]) => !unsolved.has(name)));
const bounded = { timeout: 120_000 };
const ends: readonly End[] = ['open', 'fin', 'reset'];

/** Cases that are split at every seam; the rest at one place. */
const everywhere = new Set(['a length', 'trailers', '103 and then', 'a chunk with LF', 'a folded line', 'half a head']);

describe('responses through the fast path and node:http', () => {
  const closing: (() => unknown)[] = [];
  let doors: AnsweringDoors;
  before(async () => {
    doors = await startAnsweringDoors({ after: (close) => closing.push(close as () => unknown) });
  });
  after(async () => {
    for (const close of closing.reverse()) await close();
  });

  test('reach the client alike, or not at all, and nothing but what Node reads in them', bounded, async () => {
    for (const [name, { text, method = 'GET' }] of responseCorpus) {
      const theirs = await nodeResponse(method, Buffer.from(text, 'latin1'));
      for (const end of ends) {
        const { answers } = await doors.agree(name, method, [text], end);
        const last = answers.filter(({ status }) => !status.startsWith('HTTP/1.1 1')).at(-1);
        const status = last?.status.slice(9, 12);
        if (last === undefined || (status === '502' && last.body.startsWith('UPSTREAM_'))) continue;
        if (readAnyway.has(name)) continue;
        assert.ok(theirs?.complete, `${name}: Node does not read it`);
        assert.deepEqual([status, last.body], [theirs.start, theirs.body], name);
      }
    }
  });

  test('do not depend on how the octets are spread over packets', bounded, async () => {
    for (const [name, { text, method = 'GET' }] of responseCorpus) {
      if (text.length < 2) continue;
      const middle = [1 + ((text.length * 7) % Math.min(text.length - 1, 120))];
      const positions = everywhere.has(name) ? seamsOf(text) : middle;
      const whole = await doors.agree(name, method, [text], 'fin');
      for (const at of positions) {
        const pieces = [text.slice(0, at), text.slice(at)];
        const split = await doors.agree(`${name}, split at ${at}`, method, pieces, 'fin');
        assert.deepEqual(split.answers, whole.answers, `${name}, split at ${at}`);
      }
    }
  });

  test('are read as Node reads them where they are plain: status, fields, body and end', bounded, async () => {
    let plain = 0;
    for (const [name, { text, method = 'GET' }] of responseCorpus) {
      const bytes = Buffer.from(text, 'latin1');
      const ours = plainResponse(method, bytes);
      if (!ours?.complete) continue;
      plain += 1;
      const { end: _, ...expected } = ours;
      assert.deepEqual(await nodeResponse(method, bytes), expected, name);
    }
    assert.ok(plain > 30, `only ${plain} were plain`);
  });
});
