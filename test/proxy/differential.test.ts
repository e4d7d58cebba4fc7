import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { NodeReader } from '../fuzz/support/node-reader.ts';
import { plainRequests } from '../fuzz/support/plain-reader.ts';
import { deliberate, unsolved } from './differential/deliberate.ts';
import { isSame, limit, startTwoDoors, type TwoDoors } from './differential/doors.ts';
import { requestBytes } from './differential/generate.ts';
import { requestCorpus } from './differential/request-corpus.ts';
import { seamsOf } from './differential/seams.ts';

const sentinel = 'GET /sentinel HTTP/1.1\r\nHost: app.test\r\n\r\n';
const others =
  'GET /first HTTP/1.1\r\nHost: app.test\r\n\r\n' +
  'POST /second HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n';
const bounded = { timeout: 120_000 };
const seed = 20_261_122;

/** Cases that are split at every seam; the rest at some places. */
const everywhere = new Set([
  'plain: POST of a length',
  'plain: POST in many chunks',
  'plain: two plain ones',
  'plain: close with a body',
  'framing: CL.TE',
  'framing: two TE',
  'bodies: an extension with a quoted pair',
  'bodies: two trailers',
  'bodies: a size that ends with LF',
  'lines: leading CRLF',
  'lines: a folded line',
  'starts: absolute-form',
  'starts: HTTP/1.0 with a body',
  'fields: Expect: 100-continue',
  'fields: two Hosts that differ',
]);

describe('the fast path and node:http', () => {
  const all = requestCorpus(limit);
  const cases = new Map([...all].filter(([name]) => !deliberate.has(name) && !unsolved.has(name)));
  const ends: (() => unknown)[] = [];
  let doors: TwoDoors;
  before(async () => {
    doors = await startTwoDoors({ after: (end) => ends.push(end as () => unknown) });
  });
  after(async () => {
    for (const end of ends.reverse()) await end();
  });

  test('treat what is known to confuse proxies the same', bounded, async () => {
    for (const [name, text] of cases) await doors.agree(name, [text], sentinel);
    assert.deepEqual(doors.malformed, []);
  });

  test('treat it the same behind other requests, and before others', bounded, async () => {
    for (const [name, text] of cases) {
      await doors.agree(`${name}, between others`, [others + text + sentinel]);
    }
    assert.deepEqual(doors.malformed, []);
  });

  test('differ where that is intended, and nowhere else', bounded, async () => {
    for (const name of deliberate.keys()) {
      const pieces = [others + (all.get(name) ?? assert.fail(`no case ${name}`))];
      const [fast, ordinary] = [await doors.fast(pieces, sentinel), await doors.ordinary(pieces, sentinel)];
      assert.ok(!isSame(fast, ordinary), `${name} does not differ any more`);
    }
  });

  test('close the connection when a body turns out to be none behind its answer', bounded, async () => {
    const early = 'POST /early HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n';
    const { answers, closed } = await doors.agree('an early answer', [early], sentinel);
    assert.deepEqual([answers.map(({ body }) => body), closed], [['POST /early early'], true]);
  });

  test('do not care how the octets are spread over records', bounded, async () => {
    const random = fc.sample(fc.double({ noNaN: true, min: 0, max: 0.999 }), { seed, numRuns: 2 * cases.size });
    for (const [name, text] of cases) {
      const some = [random.pop() ?? 0, random.pop() ?? 0].map((part) => 1 + Math.floor(part * (text.length - 1)));
      const positions = everywhere.has(name) ? seamsOf(text) : some;
      await doors.agreeHoweverSplit(name, text, sentinel, positions);
    }
    for (const name of everywhere) await doors.agree(`${name}, octet by octet`, [...(all.get(name) ?? '')], sentinel);
    assert.deepEqual(doors.malformed, []);
  });

  test('treat what nobody has thought of the same', bounded, async () => {
    const property = fc.asyncProperty(requestBytes([...cases.values()]), async (pieces) => {
      await doors.agree('generated', pieces, sentinel);
    });
    await fc.assert(property, { seed, numRuns: 200 });
    assert.deepEqual(doors.malformed, []);
  });

  test('read the same where the fast path reads at all: method, target, fields, body and end', bounded, async () => {
    const node = new NodeReader();
    const generated = fc.sample(requestBytes([...cases.values()]), { seed: seed + 1, numRuns: 4000 });
    const all = [...cases.values(), ...generated.map((pieces) => pieces.join(''))];
    let plain = 0;
    for (const text of all) {
      const bytes = Buffer.from(text, 'latin1');
      const ours = plainRequests(bytes).filter(({ complete }) => complete);
      if (ours.length === 0) continue;
      const theirs = await node.requests(bytes);
      plain += ours.length;
      const expected = ours.map(({ end: _, ...message }) => message);
      assert.deepEqual(theirs.slice(0, ours.length), expected, JSON.stringify(text));
    }
    assert.ok(plain > 300, `only ${plain} were plain`);
  });
});
