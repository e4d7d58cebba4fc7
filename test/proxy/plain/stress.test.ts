import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { connectRaw, type RawClient } from '../../support/raw-client.ts';
import { bounded, eventually, metricOf, startFrontDoor } from '../../support/swivel.ts';

/** The same numbers in every run. */
function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** A body in which every eight octets tell whose it is and where they belong. */
function bodyOf(name: string, size: number): string {
  let body = '';
  for (let i = 0; body.length < size; i += 8) body += `${name}${i.toString(36).padStart(8 - name.length, '.')}`;
  return body.slice(0, size);
}

/** Answers `/name/size/how` with that body, in pieces; an upload is answered with what came. */
function answer(request: IncomingMessage, response: ServerResponse, random: (below: number) => number): void {
  const [, name = '', size = '0', how] = request.url?.split('/') ?? [];
  const parts: string[] = [];
  request.setEncoding('latin1').on('data', (part) => parts.push(part));
  request.on('end', async () => {
    const body = request.method === 'POST' ? parts.join('') : bodyOf(name, Number(size));
    if (how === 'sized') response.setHeader('Content-Length', body.length);
    for (let at = 0; at < body.length; ) {
      const end = at + 1 + random(random(4) === 0 ? 100_000 : 4000);
      response.write(body.slice(at, end), 'latin1');
      at = end;
      if (random(3) === 0) await nextTurn();
      if (response.writableNeedDrain && !response.destroyed)
        await Promise.race([once(response, 'drain'), once(response, 'close')]);
    }
    response.end();
  });
}

async function talk(client: RawClient, name: string, rounds: number, random: (below: number) => number): Promise<void> {
  const { socket } = client;
  for (let round = 0; round < rounds; round += 1) {
    const size = random(random(6) === 0 ? 200_000 : 3000);
    const path = `/${name}/${size}/${random(2) ? 'sized' : 'chunks'}`;
    const body = bodyOf(name, size);
    const host = 'HTTP/1.1\r\nHost: app.test\r\n';
    let method = 'GET';
    if (random(3) === 0) {
      method = 'POST';
      if (random(2)) {
        client.send(`POST ${path} ${host}Content-Length: ${size}\r\n\r\n`);
        client.send(body.slice(0, size >> 1));
        await nextTurn();
        client.send(body.slice(size >> 1));
      } else {
        client.send(`POST ${path} ${host}Transfer-Encoding: chunked\r\n\r\n`);
        for (let at = 0; at < size; at += 7001) {
          const chunk = body.slice(at, at + 7001);
          client.send(`${chunk.length.toString(16)}\r\n${chunk}\r\n`);
        }
        client.send('0\r\n\r\n');
      }
    } else client.send(`GET ${path} ${host}\r\n`);
    if (random(3) === 0) {
      socket.pause();
      for (let turns = random(30); turns > 0; turns -= 1) await nextTurn();
      socket.resume();
    }
    const answered = await client.response(method);
    assert.equal(answered.status, 200);
    assert.ok(answered.body === body, `${name}, round ${round}: ${path} differs`);
  }
  assert.ok(client.drained);
}

/** A front door to a server, which listens from here on; both end with the test. */
async function doorTo(t: TestContext, server: Server) {
  await once(server.listen(0, '127.0.0.1'), 'listening');
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo;
  return startFrontDoor(t, { upstream: `http://127.0.0.1:${port}`, proxy: { access: false } });
}

test('many connections at once: each is given its own answers, octet for octet', bounded, async (t) => {
  const random = randomNumbers(4);
  const server = createServer((request, response) => answer(request, response, random));
  const door = await doorTo(t, server);
  const names = Array.from({ length: 50 }, (_, i) => `n${i.toString(36)}`);
  await Promise.all(
    names.map(async (name, i) => {
      const client = await connectRaw(t, door);
      const talking = talk(client, name, i % 5 === 0 ? 100 : 6, random);
      if (i % 5 !== 0) return await talking;
      talking.catch(() => {});
      // Some leave in the middle of whatever they do.
      const enough = 1000 + random(400_000);
      await eventually(() => client.socket.bytesRead > enough);
      (client.socket as unknown as { _parent?: { resetAndDestroy(): void } })._parent?.resetAndDestroy();
      client.destroy();
      await talking.catch(() => {});
    }),
  );
  await eventually(async () => (await metricOf(door.metrics.requestsInFlight)) === 0);
  await eventually(() => door.connections.size <= 40);
});

test(
  'many uploads at once to an upstream that reads in fits and starts: what comes is what was sent',
  bounded,
  async (t) => {
    const random = randomNumbers(9);
    const server = createServer(async (request, response) => {
      const hash = createHash('sha256');
      // Some are broken off, with what is under way.
      const enough = request.url === '/broken' ? random(3_000_000) : Number.POSITIVE_INFINITY;
      let received = 0;
      for await (const part of request) {
        hash.update(part);
        received += (part as Buffer).length;
        if (received >= enough) {
          request.destroy();
          return;
        }
        if (random(20) === 0) for (let turns = random(200); turns > 0; turns -= 1) await nextTurn();
      }
      response.end(hash.digest('hex'));
    });
    server.on('request', (request) => request.on('error', () => {}));
    const door = await doorTo(t, server);
    const upload = async (i: number) => {
      const client = await connectRaw(t, door);
      const body = randomBytes(4_000_000 + random(3_000_000));
      const path = i % 4 === 0 ? '/broken' : '/whole';
      const head = `POST ${path} HTTP/1.1\r\nHost: app.test\r\n`;
      const { socket } = client;
      const write = (octets: Buffer | string) => new Promise<unknown>((written) => socket.write(octets, written));
      const sending = (async () => {
        const chunked = i % 2 === 0;
        await write(`${head}${chunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${body.length}`}\r\n\r\n`);
        for (let at = 0; at < body.length && !socket.destroyed; ) {
          const part = body.subarray(at, at + 1 + random(random(5) === 0 ? 200 : 90_000));
          at += part.length;
          if (chunked) await write(`${part.length.toString(16)}\r\n`);
          await write(part);
          if (chunked) await write('\r\n');
        }
        if (chunked) await write('0\r\n\r\n');
      })();
      const answered = await client.response('POST');
      if (path === '/broken') assert.equal(answered.status, 502);
      else assert.equal(answered.body, createHash('sha256').update(body).digest('hex'));
      await sending;
    };
    await Promise.all(Array.from({ length: 16 }, (_, i) => upload(i)));
    await eventually(async () => (await metricOf(door.metrics.requestsInFlight)) === 0);
  },
);
