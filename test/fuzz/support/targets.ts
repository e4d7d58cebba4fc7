import assert from 'node:assert/strict';
import type * as http1 from '../../../src/http1/index.ts';
import type { NodeReader } from './node-reader.ts';

type Http1 = typeof http1;

/** What is fuzzed: properties that hold for all octets. */
export interface FuzzTarget {
  readonly name: string;
  readonly seeds: readonly string[];
  /** Runs the code once; what it passes through is what guides. @returns what came of it, roughly: few different texts */
  run(bytes: Buffer): string;
  /** @throws AssertionError when a property does not hold */
  check(bytes: Buffer): void;
  /** The same, for what needs more time: that Node's parser agrees. */
  compare(bytes: Buffer): Promise<void>;
}

/** Positions at which octets are cut in two: all of them, or some when they are many. */
function positions(length: number): number[] {
  const step = Math.max(1, Math.floor(length / 30));
  const some = Array.from({ length: Math.ceil(length / step) }, (_, i) => i * step);
  return [...some, length - 3, length - 2, length - 1].filter((at) => at >= 0 && at < length).sort((a, b) => a - b);
}

/** Without the cost of a comparison by structure where there is nothing to compare. */
function same(actual: unknown, expected: unknown, where: string): void {
  if (actual !== expected) assert.deepEqual(actual, expected, where);
}

/** What was read of a prefix tells what more octets can lead to: neither a refusal nor a head is ever taken back. */
function isMonotonic<Head extends { readonly end: number }>(
  { partial, notPlain }: Http1,
  read: (bytes: Buffer) => Head | number,
  bytes: Buffer,
): void {
  const whole = read(bytes);
  let refused = false;
  for (const at of positions(bytes.length)) {
    const part = read(bytes.subarray(0, at));
    if (typeof whole !== 'number') same(part, at < whole.end ? partial : whole, `at ${at}`);
    else if (whole === partial || refused) same(part, whole, `at ${at}`);
    else assert.ok(part === partial || part === notPlain, `at ${at}`);
    refused ||= part === notPlain;
  }
}

function fieldLines(headers: readonly string[]): string {
  let text = '';
  for (let i = 0; i < headers.length; i += 2) text += `${headers[i]}: ${headers[i + 1]}\r\n`;
  return `${text}\r\n`;
}

function requestTarget(http: Http1, plain: typeof import('./plain-reader.ts'), node: NodeReader): FuzzTarget {
  return {
    name: 'request',
    seeds: [
      'GET / HTTP/1.1\r\nHost: a\r\n\r\n',
      'POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello',
      'PUT /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a="b"\r\nhello\r\n0\r\nX: y\r\n\r\n',
    ],
    run(bytes) {
      const head = http.readRequest(bytes);
      if (typeof head === 'number') return `${head}`;
      return `${head.method} ${Math.sign(head.fields.length)} ${head.fields.close}`;
    },
    check(bytes) {
      isMonotonic(http, http.readRequest, bytes);
      const head = http.readRequest(bytes);
      if (typeof head === 'number') return;
      const { octets: _, ...fields } = head.fields;
      const text = `${head.method} ${head.target} HTTP/1.1\r\n${fieldLines(fields.headers)}`;
      const again = http.readRequest(Buffer.from(text, 'latin1'));
      assert.ok(typeof again === 'object');
      const { octets: __, ...readAgain } = again.fields;
      assert.deepEqual([again.method, again.target, readAgain], [head.method, head.target, fields]);
      assert.equal(again.end, text.length);
      // The fields of another request are taken for the same only where they are, to the octet.
      const known = http.readRequest(bytes, head.fields);
      assert.ok(typeof known === 'object' && known.fields === head.fields && known.end === head.end);
      const other = http.readRequest(bytes, again.fields);
      assert.ok(typeof other === 'object' && other.end === head.end);
      assert.deepEqual(other.fields.headers, fields.headers);
    },
    async compare(bytes) {
      const ours = plain.plainRequests(bytes).filter(({ complete }) => complete);
      if (ours.length === 0) return;
      const theirs = (await node.requests(bytes)).slice(0, ours.length);
      assert.deepEqual(
        theirs,
        ours.map(({ end: _, ...message }) => message),
      );
    },
  };
}

function responseTarget(
  http: Http1,
  plain: typeof import('./plain-reader.ts'),
  nodeResponse: typeof import('./node-reader.ts')['nodeResponse'],
): FuzzTarget {
  return {
    name: 'response',
    seeds: [
      'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello',
      'HTTP/1.0 404 Not Found\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\n\r\nhello',
      'HTTP/1.0 103 A\r\n\r\nHTTP/1.1 200 OK\r\n\r\n',
      'HTTP/1.1 103 A\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
    ],
    run(bytes) {
      const head = http.readResponse(bytes);
      if (typeof head === 'number') return `${head}`;
      const { status, length, keepsAlive, idleHint } = head;
      return `${status < 200} ${Math.min(1, length)} ${keepsAlive} ${idleHint > 0}`;
    },
    check(bytes) {
      isMonotonic(http, http.readResponse, bytes);
      const head = http.readResponse(bytes);
      if (typeof head === 'number') return;
      assert.ok(head.status >= 100 && head.status <= 999);
      const { end: _, ...message } = head;
      const version = bytes.toString('latin1', 0, 8);
      const text = `${version} ${head.status}\r\n${fieldLines(head.headers)}`;
      assert.deepEqual(http.readResponse(Buffer.from(text, 'latin1')), { ...message, end: text.length });
    },
    async compare(bytes) {
      for (const method of ['GET', 'HEAD']) {
        const ours = plain.plainResponse(method, bytes);
        if (!ours?.complete) continue;
        const { end: _, ...message } = ours;
        assert.deepEqual(await nodeResponse(method, bytes), message, method);
      }
    },
  };
}

function chunkTarget(http: Http1, plain: typeof import('./plain-reader.ts'), node: NodeReader): FuzzTarget {
  const decode = (pieces: readonly Buffer[]) => {
    const decoder = new http.ChunkDecoder();
    const parts: Buffer[] = [];
    const sink = { onChunk: (part: Buffer) => parts.push(Buffer.from(part)) };
    let used = 0;
    for (const piece of pieces) {
      if (decoder.done || decoder.fault) break;
      const end = decoder.decode(piece, 0, sink);
      assert.ok(end === -1 ? decoder.fault : decoder.done || end === piece.length);
      used += end;
    }
    const { done, fault, trailer } = decoder;
    const read = done ? http.readTrailer(trailer) : null;
    return { body: Buffer.concat(parts).toString('latin1'), done, fault, end: done ? used : null, read };
  };
  const head = 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n';
  return {
    name: 'chunks',
    seeds: [
      '0\r\n\r\n',
      '5\r\nhello\r\n0\r\n\r\n',
      '5\r\nhelloX\n0\r\n\r\n',
      '5;a="\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n',
      'a;b="\\"";c\r\n0123456789\r\n000\r\nX: y\r\nZ:\r\n\r\n',
    ],
    run(bytes) {
      const { body, done, fault, read } = decode([bytes]);
      return `${done} ${fault} ${Math.sign(body.length)} ${read === null ? 'none' : Math.sign(read.length)}`;
    },
    check(bytes) {
      const whole = decode([bytes]);
      for (const at of positions(bytes.length)) {
        assert.deepEqual(decode([bytes.subarray(0, at), bytes.subarray(at)]), whole, `at ${at}`);
      }
      assert.deepEqual(decode(Array.from(bytes, (octet) => Buffer.from([octet]))), whole, 'octet by octet');
      if (!whole.done) return;
      const { body } = whole;
      const data = body === '' ? '' : http.chunkHead(body.length) + body + http.chunkTail;
      const again = decode([Buffer.from(data + http.lastChunk(whole.read ?? []), 'latin1')]);
      assert.deepEqual([again.done, again.body, again.read], [true, body, whole.read ?? []]);
    },
    async compare(bytes) {
      const text = Buffer.concat([Buffer.from(head), bytes]);
      const [ours] = plain.plainRequests(text);
      // Where Node is not as strict there is nothing to fear.
      if (decode([bytes]).fault !== null) return;
      const [theirs] = await node.requests(text);
      assert.equal(theirs?.complete ?? false, ours?.complete);
      if (ours?.complete) assert.equal(theirs?.body, ours.body);
    },
  };
}

/** All targets. Loads what they test only now, so that it can be watched from the beginning. */
export async function loadTargets(): Promise<FuzzTarget[]> {
  const http = await import('../../../src/http1/index.ts');
  const plain = await import('./plain-reader.ts');
  const { NodeReader, nodeResponse } = await import('./node-reader.ts');
  const node = new NodeReader();
  return [requestTarget(http, plain, node), responseTarget(http, plain, nodeResponse), chunkTarget(http, plain, node)];
}
