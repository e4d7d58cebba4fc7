import type { Percentiles } from './percentiles.ts';

/** The TLS proxy under load. */
export interface LoadTarget {
  port: number;
  /** Default 127.0.0.1. */
  host?: string;
  /** Name sent as SNI and as Host, and checked against the certificate. */
  servername: string;
  /** PEM of the authority that the proxy's certificates must chain to. */
  ca: string;
}

export interface LoadOptions {
  target: LoadTarget;
  /** HTTP/1.1 clients, one connection each. Default 32. */
  keepAliveClients?: number;
  /** New connections a second, one request on each. Default 40. */
  freshPerSecond?: number;
  /** HTTP/2 connections. Default 8. */
  http2Connections?: number;
  /** Parallel streams on each HTTP/2 connection. Default 4. */
  streamsPerConnection?: number;
  /** Default 8. */
  webSockets?: number;
  /** Size of the slow download; 0 for none. Default 100 MB. */
  downloadBytes?: number;
  /** How long the run will be: the download is paced to last that long. Default 15 s. */
  expectedDurationMs?: number;
  /** Pause of a keep-alive client between a response and its next request. Default 10. */
  thinkMs?: number;
  /** The same for each HTTP/2 stream. Default 20. */
  http2ThinkMs?: number;
  /** The load ends by itself after this time, whatever happens. Default 120 s. */
  maxDurationMs?: number;
}

export type Kind = 'keep-alive' | 'fresh' | 'http2' | 'websocket' | 'download';

export interface Failure {
  kind: Kind;
  /** An error code or a short description, with the phase in which it happened. */
  reason: string;
  /** HTTP/1.1 only: whether the connection had carried an earlier request. */
  reused?: boolean;
  /** Milliseconds since the load began. */
  at: number;
}

export interface LoadReport {
  durationMs: number;
  /** Verified responses: keep-alive, fresh and HTTP/2 together. */
  requests: number;
  /** The same by kind; for `websocket` echoed messages, for `download` complete downloads. */
  completed: Record<Kind, number>;
  /** Requests that a well-behaved client could not save, cut downloads among them; WebSocket cuts are apart. */
  failures: Failure[];
  /** HTTP/2 streams that the proxy refused unprocessed; they were sent again and are no failures. */
  refusedStreams: number;
  /** HTTP/1.1 connections that were closed while idle and unannounced: luck that no request was on its way. */
  idleCloses: number;
  /** Connections opened by keep-alive and HTTP/2 clients; the rest above their number were reconnects. */
  connections: { keepAlive: number; http2: number };
  /** One line for every WebSocket that was closed on its client, or did not echo in time. */
  websocketCuts: Failure[];
  download: { bytes: number; expected: number; ok: boolean };
  /** Milliseconds from sending a request to its last byte (fresh: from opening the connection). */
  latency: Percentiles;
  latencyByKind: Partial<Record<Kind, Percentiles>>;
}
