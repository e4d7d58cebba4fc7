/**
 * The process that makes the load (see `Load`). Messages: in `LoadOptions`, out `{ready}`, in `{stop}`, out
 * `{report}`. It ends when its channel closes, and stops by itself at the latest after `maxDurationMs`.
 */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { DOWNLOAD_BYTES } from './bodies.ts';
import { slowDownload } from './download.ts';
import { freshConnections, keepAliveClient } from './http1.ts';
import { http2Client } from './http2.ts';
import { Run } from './run.ts';
import type { LoadOptions } from './types.ts';
import { webSocketClient } from './websocket.ts';

const WARM_UP_LIMIT_MS = 5_000;

process.on('disconnect', () => process.exit());

const [given] = (await once(process, 'message')) as [LoadOptions];
const options: Required<LoadOptions> = {
  keepAliveClients: 32,
  freshPerSecond: 40,
  http2Connections: 8,
  streamsPerConnection: 4,
  webSockets: 8,
  downloadBytes: DOWNLOAD_BYTES,
  expectedDurationMs: 15_000,
  thinkMs: 10,
  http2ThinkMs: 20,
  maxDurationMs: 120_000,
  ...given,
};

const stop = new AbortController();
const run = new Run(options.target, stop.signal);
const limit = setTimeout(() => stop.abort(), options.maxDurationMs);
process.once('message', () => stop.abort());

const clients = startClients();
await warmUp();
process.send?.({ ready: true });
await Promise.all(clients);
clearTimeout(limit);
process.send?.({ report: run.report() });

function startClients(): Promise<void>[] {
  const times = (count: number, client: () => Promise<void>) => Array.from({ length: count }, client);
  return [
    ...times(options.keepAliveClients, () => keepAliveClient(run, options.thinkMs)),
    ...times(options.http2Connections, () => http2Client(run, options.streamsPerConnection, options.http2ThinkMs)),
    ...times(options.webSockets, () => webSocketClient(run)),
    ...times(options.freshPerSecond > 0 ? 1 : 0, () => freshConnections(run, options.freshPerSecond)),
    ...times(options.downloadBytes > 0 ? 1 : 0, () =>
      slowDownload(run, options.downloadBytes, options.expectedDurationMs),
    ),
  ];
}

/** Until every long-lived client has been served once; one that cannot be is a failure, and no reason to wait on. */
async function warmUp(): Promise<void> {
  const began = performance.now();
  const warm = () =>
    run.completed('keep-alive') >= options.keepAliveClients &&
    run.completed('http2') >= options.http2Connections * options.streamsPerConnection &&
    run.completed('websocket') >= options.webSockets &&
    (options.downloadBytes === 0 || run.download.bytes > 0);
  while (!warm() && performance.now() - began < WARM_UP_LIMIT_MS) await sleep(10);
}
