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
import { WebSocketServer } from 'ws';
import { createAuthority, type Leaf } from '../pki.ts';
import { bodyFor, downloadBytes, isDownloadAt } from './bodies.ts';
import { Load, type LoadOptions, summarize } from './load.ts';
import { probeRotation } from './probe.ts';

const DOWNLOAD = 4 * 1024 * 1024;
const kinds = ['keep-alive', 'fresh', 'http2', 'websocket', 'download'] as const;
type Kind = (typeof kinds)[number];
const bounded = { timeout: 60_000 };

interface Misbehaviour {
  /** HTTP/1.1 responses announce that their connection closes. */
  announceClose?: boolean;
  /** The download stops half-way. */
  stalls?: boolean;
}

/** A TLS server that answers by itself what the upstream would. */
class FairServer {
  readonly sockets = new Set<Socket>();
  readonly sessions = new Set<ServerHttp2Session>();
  readonly server: Http2SecureServer;
  /** How often something of a kind was asked for. */
  readonly asked = new Map<Kind, number>();
  /** What was cut off. */
  readonly cut = new Set<Kind>();
  readonly #webSockets = new WebSocketServer({ noServer: true });
  readonly #answered = new WeakSet<object>();
  readonly #stalled = new Set<Socket>();
  #cutting = false;

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
    const isCut = (kind: Kind, connection: object) => {
      const isReused = this.#answered.has(connection);
      this.#answered.add(connection);
      const cut = this.#cutting && isReused;
      if (cut) this.cut.add(kind);
      this.#note(kind);
      return cut;
    };
    this.server.on('request', (request, response) => {
      if (misbehaviour.announceClose && request.httpVersionMajor === 1) response.setHeader('connection', 'close');
      if (!request.url.startsWith('/big')) {
        const connection = request.stream?.session ?? request.socket;
        if (isCut(request.url.split('/')[1] as Kind, connection)) return void connection.destroy();
        return void response.end(bodyFor(request.url));
      }
      response.setHeader('content-length', DOWNLOAD);
      const until = misbehaviour.stalls ? DOWNLOAD / 2 : DOWNLOAD;
      for (let sent = 0; sent < until; ) {
        const chunk = downloadBytes(sent, DOWNLOAD - sent);
        response.write(chunk);
        sent += chunk.length;
      }
      if (misbehaviour.stalls) this.#stalled.add(request.socket);
      else response.end();
      this.#note('download');
    });
    this.server.on('upgrade', (request, socket, head) => {
      this.#webSockets.handleUpgrade(request, socket, head, (webSocket) => {
        webSocket.on('message', (data) => {
          if (isCut('websocket', webSocket)) webSocket.terminate();
          else webSocket.send(data, { binary: false });
        });
      });
    });
  }

  /** From now on cuts off what is asked for on a connection that was answered before, and the download. */
  startCutting(): void {
    this.#cutting = true;
    for (const socket of this.#stalled) {
      socket.destroy();
      this.cut.add('download');
    }
  }

  /** Waits for what comes true when something is asked for. */
  async until(isTrue: () => boolean): Promise<void> {
    while (!isTrue()) await once(this.server, 'asked');
  }

  #note(kind: Kind): void {
    this.asked.set(kind, (this.asked.get(kind) ?? 0) + 1);
    this.server.emit('asked');
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
  test('finds no fault with a fair server', bounded, async (t) => {
    const server = new FairServer(leaf);
    const load = await startLoad(t, server, { expectedDurationMs: 200 });
    await server.until(() => kinds.every((kind) => (server.asked.get(kind) ?? 0) >= (kind === 'download' ? 1 : 10)));
    const report = await load.stop();
    assert.deepEqual(summarize(report), {});
    assert.deepEqual(report.download, { bytes: DOWNLOAD, expected: DOWNLOAD, ok: true });
    assert.deepEqual(report.connections, { keepAlive: 4, http2: 2 });
    assert.equal(report.idleCloses, 0);
    for (const kind of kinds) assert.ok(report.completed[kind] > 0, kind);
    assert.equal(report.latency.count, report.requests);
  });

  test('counts connections that are cut, each by its kind', bounded, async (t) => {
    const server = new FairServer(leaf, { stalls: true });
    const load = await startLoad(t, server, { expectedDurationMs: 200 });
    server.startCutting();
    const reused = ['keep-alive', 'http2', 'websocket', 'download'] as const;
    await server.until(() => reused.every((kind) => server.cut.has(kind)));
    const report = await load.stop();
    const failed = new Set(report.failures.map(({ kind }) => kind));
    assert.ok(failed.has('keep-alive') && failed.has('http2') && failed.has('download'), JSON.stringify([...failed]));
    assert.ok(!failed.has('fresh'));
    assert.ok(report.failures.some(({ kind, reused }) => kind === 'keep-alive' && reused));
    assert.ok(report.websocketCuts.length > 0);
    assert.equal(report.download.ok, false);
  });

  test('connects again when closing is announced, and counts no failure', bounded, async (t) => {
    const server = new FairServer(leaf, { announceClose: true });
    const load = await startLoad(t, server, { downloadBytes: 0, webSockets: 0 });
    for (const session of server.sessions) session.close();
    const { size } = server.sessions;
    let opened = 0;
    server.server.on('session', () => (opened += 1));
    await server.until(() => opened >= size && (server.asked.get('keep-alive') ?? 0) > 10);
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
    test(`sends a stream again that was ${how}`, bounded, async (t) => {
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
