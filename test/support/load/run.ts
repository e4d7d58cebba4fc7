import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { createSecureContext, type SecureContext } from 'node:tls';
import { percentilesOf } from './percentiles.ts';
import type { Failure, Kind, LoadReport, LoadTarget } from './types.ts';

/** A request that got no answer within this time has failed. */
export const REQUEST_TIMEOUT_MS = 10_000;

const MAX_FAILURES_KEPT = 10_000;

/** What all clients of one load share: the target, the order to stop, and the tally. */
export class Run {
  readonly target: Required<LoadTarget>;
  /** Shared, because building a context for each connection would cost the generator more than the handshake. */
  readonly secureContext: SecureContext;
  readonly stopping: AbortSignal;
  refusedStreams = 0;
  idleCloses = 0;
  connections: LoadReport['connections'] = { keepAlive: 0, http2: 0 };
  websocketCuts: Failure[] = [];
  download: LoadReport['download'] = { bytes: 0, expected: 0, ok: true };
  #nextPath = 0;
  readonly #began = performance.now();
  readonly #failures: Failure[] = [];
  readonly #latencies: Record<Kind, number[]> = {
    'keep-alive': [],
    fresh: [],
    http2: [],
    websocket: [],
    download: [],
  };

  constructor(target: LoadTarget, stopping: AbortSignal) {
    this.target = { host: '127.0.0.1', ...target };
    this.secureContext = createSecureContext({ ca: target.ca });
    this.stopping = stopping;
  }

  /** A path that no other request of this run has. */
  uniquePath(kind: Kind): string {
    return `/${kind}/${++this.#nextPath}`;
  }

  succeed(kind: Kind, milliseconds: number): void {
    this.#latencies[kind].push(milliseconds);
  }

  fail(kind: Kind, reason: string, more: { reused?: boolean } = {}): void {
    if (this.#failures.length < MAX_FAILURES_KEPT) this.#failures.push(this.#failure(kind, reason, more));
  }

  cutWebSocket(reason: string): void {
    this.websocketCuts.push(this.#failure('websocket', reason));
  }

  completed(kind: Kind): number {
    return this.#latencies[kind].length;
  }

  /** Waits; not at all once the order to stop was given. */
  async pause(milliseconds: number): Promise<void> {
    if (!this.stopping.aborted) await sleep(milliseconds);
  }

  report(): LoadReport {
    const kinds = Object.keys(this.#latencies) as Kind[];
    const { 'keep-alive': keepAlive, fresh, http2 } = this.#latencies;
    return {
      durationMs: performance.now() - this.#began,
      requests: keepAlive.length + fresh.length + http2.length,
      completed: Object.fromEntries(kinds.map((kind) => [kind, this.completed(kind)])) as Record<Kind, number>,
      failures: this.#failures,
      refusedStreams: this.refusedStreams,
      idleCloses: this.idleCloses,
      connections: this.connections,
      websocketCuts: this.websocketCuts,
      download: this.download,
      latency: percentilesOf([...keepAlive, ...fresh, ...http2]),
      latencyByKind: Object.fromEntries(
        kinds.filter((kind) => this.completed(kind) > 0).map((kind) => [kind, percentilesOf(this.#latencies[kind])]),
      ),
    };
  }

  #failure(kind: Kind, reason: string, more: { reused?: boolean } = {}): Failure {
    return { kind, reason, ...more, at: Math.round(performance.now() - this.#began) };
  }
}

/** The whole text of a body; rejects when the stream fails or closes before its end. */
export function readText(stream: Readable): Promise<string> {
  // Listeners instead of an iterator: these bodies are one chunk, and the iterator costs as much as the rest.
  return new Promise((resolve, reject) => {
    let text = '';
    stream.setEncoding('utf8');
    stream.on('data', (chunk: string) => {
      text += chunk;
    });
    stream.once('end', () => resolve(text));
    stream.on('error', reject);
    stream.once('close', () => reject(new Error('cut')));
  });
}

/** A short, stable name for what went wrong: the code where there is one. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined;
  return code && !error.message.includes(code) ? `${code} ${error.message}` : error.message;
}
