import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect } from 'node:http2';
import { request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { type TestContext, test } from 'node:test';
import { ScriptProcess } from '../test/support/child.ts';
import { bounded, eventually } from '../test/support/swivel.ts';
import { patience } from './support/until.ts';

const megabyte = 1024 * 1024;
/** Set it to 1024 for the whole truth, which takes its time. */
const asked = process.env['SWIVEL_TEST_MEGABYTES'];
/** What goes through, and what the process may grow by meanwhile, however much it is. */
const size = Number(asked ?? 256) * megabyte;
const mayGrow = 128 * megabyte;

interface Door {
  readonly port: number;
  readonly ca: string;
  /** By how much the process grew, in bytes, at its peak since the last call. */
  growth(): Promise<number>;
}

async function forkFrontDoor(t: TestContext, upstream: string): Promise<Door> {
  const script = new ScriptProcess(new URL('../test/support/front-door-process.ts', import.meta.url));
  t.after(() => script.stop());
  const memory = async () => {
    script.send({});
    return script.next<{ rss: number; peak: number }>(patience);
  };
  script.send({ upstream });
  const address = await script.next<{ port: number; ca: string }>(patience);
  const { rss } = await memory();
  return { ...address, growth: async () => (await memory()).peak - rss };
}

async function startService(t: TestContext, answer: (request: IncomingMessage, response: ServerResponse) => void) {
  const server = createServer(answer);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** So many bytes; tells how many of them were taken. */
class Source extends Readable {
  readonly #chunk = Buffer.alloc(64 * 1024, 'x');
  taken = 0;

  override _read(): void {
    if (this.taken >= size) this.push(null);
    else {
      this.taken += this.#chunk.length;
      this.push(this.#chunk);
    }
  }

  /** Resolves when nothing was taken for many turns of the event loop: somebody further on does not read. */
  async stuck(): Promise<void> {
    let before = -1;
    let still = 0;
    await eventually(() => {
      still = this.taken === before ? still + 1 : 0;
      before = this.taken;
      return this.taken > 0 && still === 1000;
    });
    assert.ok(this.taken < size, 'all of it was taken by somebody');
  }
}

async function lengthOf(stream: Readable): Promise<number> {
  let length = 0;
  stream.on('data', (chunk: Buffer) => {
    length += chunk.length;
  });
  await finished(stream, { writable: false });
  return length;
}

const slow = { timeout: bounded.timeout * 3 };

const versions = ['HTTP/1.1', 'HTTP/2'];

for (const version of asked ? versions : versions.slice(0, 1)) {
  test(`a large download over ${version} to a client that hesitates takes no memory`, slow, async (t) => {
    const source = new Source();
    const url = await startService(t, (_request, response) => void source.pipe(response));
    const door = await forkFrontDoor(t, url);
    const answer = await download(t, version, door);
    await source.stuck();
    assert.equal(await lengthOf(answer), size);
    const growth = await door.growth();
    t.diagnostic(`grew by ${Math.round(growth / megabyte)} MiB for ${size / megabyte} MiB`);
    assert.ok(growth < mayGrow);
  });
}

for (const version of asked ? versions : versions.slice(1)) {
  test(`a large upload over ${version} to an upstream that hesitates takes no memory`, slow, async (t) => {
    const source = new Source();
    const { promise: received, resolve } = Promise.withResolvers<Promise<number>>();
    const url = await startService(t, async (request, response) => {
      await source.stuck();
      const length = lengthOf(request);
      resolve(length);
      await length;
      response.end('done');
    });
    const door = await forkFrontDoor(t, url);
    const answered = upload(t, version, door, source);
    assert.equal(await await received, size);
    await answered;
    const growth = await door.growth();
    t.diagnostic(`grew by ${Math.round(growth / megabyte)} MiB for ${size / megabyte} MiB`);
    assert.ok(growth < mayGrow);
  });
}

async function download(t: TestContext, version: string, { port, ca }: Door): Promise<Readable> {
  if (version === 'HTTP/1.1') {
    const outgoing = request({ port, ca, servername: 'localhost', agent: false }).end();
    return (await once(outgoing, 'response'))[0] as IncomingMessage;
  }
  const session = connect(`https://localhost:${port}`, { ca });
  t.after(() => session.destroy());
  const stream = session.request({ ':path': '/' });
  await once(stream, 'response');
  return stream;
}

async function upload(t: TestContext, version: string, { port, ca }: Door, source: Source): Promise<void> {
  if (version === 'HTTP/1.1') {
    const outgoing = request({ method: 'POST', port, ca, servername: 'localhost', agent: false });
    source.pipe(outgoing);
    const [answer] = (await once(outgoing, 'response')) as [IncomingMessage];
    await lengthOf(answer);
    return;
  }
  const session = connect(`https://localhost:${port}`, { ca });
  t.after(() => session.destroy());
  const stream = session.request({ ':path': '/', ':method': 'POST' });
  source.pipe(stream);
  await lengthOf(stream);
}
