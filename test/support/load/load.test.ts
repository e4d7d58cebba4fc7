import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  constants,
  createSecureServer,
  type Http2SecureServer,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocketServer } from 'ws';
import { createAuthority, type Leaf } from '../pki.ts';
import { bodyFor, downloadBytes, isDownloadAt } from './bodies.ts';
import { Load, type LoadOptions, summarize } from './load.ts';
import { probeRotation } from './probe.ts';

const DOWNLOAD = 4 * 1024 * 1024;

interface Misbehaviour {
  /** HTTP/1.1 responses announce that their connection closes. */
  announceClose?: boolean;
}

/** A TLS server that answers by itself what the upstream would. */
class FairServer {
  readonly sockets = new Set<Socket>();
  readonly sessions = new Set<ServerHttp2Session>();
  readonly server: Http2SecureServer;
  readonly #webSockets = new WebSocketServer({ noServer: true });

  constructor(leaf: Leaf, misbehaviour: Misbehaviour = {}) {
    this.server = createSecureServer({ key: leaf.keyPem, cert: leaf.chainPem, allowHTTP1: true });
    this.server.on('secureConnection', (socket: Socket) => {
      this.sockets.add(socket);
      socket.once('close', () => this.sockets.delete(socket));
    });
    this.server.on('session', (session) => {
      this.sessions.add(session);
      session.once('close', () => this.sessions.delete(session));
    });
    this.server.on('request', (request, response) => {
      if (misbehaviour.announceClose && request.httpVersionMajor === 1) response.setHeader('connection', 'close');
      if (!request.url.startsWith('/big')) return void response.end(bodyFor(request.url));
      response.setHeader('content-length', DOWNLOAD);
      for (let sent = 0; sent < DOWNLOAD; ) {
        const chunk = downloadBytes(sent, DOWNLOAD - sent);
        response.write(chunk);
        sent += chunk.length;
      }
      response.end();
    });
    this.server.on('upgrade', (request, socket, head) => {
      this.#webSockets.handleUpgrade(request, socket, head, (webSocket) => {
        webSocket.on('message', (data) => webSocket.send(data, { binary: false }));
      });
    });
  }

  async listen(t: TestContext): Promise<number> {
    await once(this.server.listen(0, '127.0.0.1'), 'listening');
    t.after(() => {
      this.server.close();
      for (const socket of this.sockets) socket.destroy();
    });
    return (this.server.address() as AddressInfo).port;
  }
}

const root = await createAuthority();
const leaf = await root.issue();

async function startLoad(t: TestContext, server: FairServer, options: Partial<LoadOptions> = {}): Promise<Load> {
  const target = { port: await server.listen(t), servername: 'localhost', ca: root.certificatePem };
  const load = new Load({
    target,
    keepAliveClients: 4,
    http2Connections: 2,
    webSockets: 2,
    downloadBytes: DOWNLOAD,
    ...options,
  });
  await load.start();
  return load;
}

describe('load', () => {
  test('finds no fault with a fair server', async (t) => {
    const load = await startLoad(t, new FairServer(leaf), { expectedDurationMs: 1_000 });
    await sleep(1_000);
    const report = await load.stop();
    assert.deepEqual(summarize(report), {});
    assert.deepEqual(report.download, { bytes: DOWNLOAD, expected: DOWNLOAD, ok: true });
    assert.deepEqual(report.connections, { keepAlive: 4, http2: 2 });
    assert.equal(report.idleCloses, 0);
    for (const kind of ['keep-alive', 'fresh', 'http2', 'websocket', 'download'] as const) {
      assert.ok(report.completed[kind] > 0, kind);
    }
    assert.equal(report.latency.count, report.requests);
  });

  test('counts connections that are cut, each by its kind', async (t) => {
    const server = new FairServer(leaf);
    // Clients that hardly think have nearly always a request under way.
    const load = await startLoad(t, server, { thinkMs: 0, http2ThinkMs: 0, expectedDurationMs: 60_000 });
    // Each time, some have a request under way.
    for (let i = 0; i < 5; i++) {
      await sleep(60);
      for (const socket of server.sockets) socket.destroy();
    }
    await sleep(200);
    const report = await load.stop();
    const kinds = new Set(report.failures.map(({ kind }) => kind));
    // HTTP/2 is not asked for: all of its streams may just have been between two requests.
    assert.ok(kinds.has('keep-alive') && kinds.has('download'), JSON.stringify(report.failures));
    assert.ok(report.failures.some(({ kind, reused }) => kind === 'keep-alive' && reused));
    assert.ok(report.websocketCuts.length >= 2);
    assert.equal(report.download.ok, false);
  });

  test('connects again when closing is announced, and counts no failure', async (t) => {
    const server = new FairServer(leaf, { announceClose: true });
    const load = await startLoad(t, server, { downloadBytes: 0, webSockets: 0 });
    await sleep(200);
    for (const session of server.sessions) session.close();
    await sleep(200);
    const report = await load.stop();
    assert.deepEqual(summarize(report), {});
    assert.equal(report.idleCloses, 0);
    assert.equal(report.connections.keepAlive, report.completed['keep-alive']);
    assert.ok(report.connections.http2 > 2);
  });

  for (const [how, refuseStream] of Object.entries({
    'reset as refused': (stream: ServerHttp2Stream) => stream.close(constants.NGHTTP2_REFUSED_STREAM),
    'above the last of GOAWAY': (stream: ServerHttp2Stream) => stream.session?.goaway(0, (stream.id ?? 0) - 2),
  })) {
    test(`sends a stream again that was ${how}`, async (t) => {
      const server = new FairServer(leaf);
      let refused = false;
      server.server.on('stream', (stream: ServerHttp2Stream) => {
        if (refused || (stream.id ?? 0) < 5) return;
        refused = true;
        refuseStream(stream);
      });
      const load = await startLoad(t, server, { downloadBytes: 0, webSockets: 0 });
      const report = await load.stop();
      assert.deepEqual(summarize(report), {});
      assert.ok(report.refusedStreams > 0);
    });
  }
});

describe('probe', () => {
  test('measures when a new certificate is first presented, and notices that it never is', async (t) => {
    const server = new FairServer(leaf);
    const target = { port: await server.listen(t), servername: 'localhost', ca: root.certificatePem };
    const next = await root.issue();
    const write = () => {
      setTimeout(() => server.server.setSecureContext({ key: next.keyPem, cert: next.chainPem }), 50);
    };
    const timing = await probeRotation({ target, fingerprint256: next.fingerprint256, write });
    assert.ok(!timing.missed && timing.startedMs > 0 && timing.completedMs > timing.startedMs, JSON.stringify(timing));
    assert.ok(timing.oldHandshakes > 0);
    const missed = await probeRotation({ target, fingerprint256: 'never', write: () => {}, timeoutMs: 100 });
    assert.ok(missed.missed);
  });
});

test('download bytes are checked at any offset', () => {
  const chunk = Buffer.concat([downloadBytes(262_000, 1_000), downloadBytes(262_144, 1_000)]);
  assert.ok(isDownloadAt(262_000, chunk));
  assert.ok(!isDownloadAt(262_001, chunk));
});
