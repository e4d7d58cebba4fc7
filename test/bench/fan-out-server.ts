/**
 * One way to spread connections over processes, under measurement (see `FanOutServer`): the primary of node:cluster and
 * its workers, which are this same file. It ends when its channel closes.
 */
import cluster, { type Worker } from 'node:cluster';
import { once } from 'node:events';
import https from 'node:https';
import * as net from 'node:net';
import type { Counts, FanOutOrder, FanOutSetup } from './fan-out-types.ts';

/** Undocumented and stable for a decade: what node:cluster itself makes its listening sockets with. */
const { _createServerHandle: createServerHandle } = net as unknown as {
  _createServerHandle(host: string, port: number, family: 4 | 6): object | number;
};

const HOST = '127.0.0.1';
const body = 'x'.repeat(1024);

process.on('disconnect', () => process.exit());
if (cluster.isPrimary) await runPrimary();
else await runWorker();

async function runPrimary(): Promise<void> {
  const [setup] = (await once(process, 'message')) as [FanOutSetup];
  cluster.schedulingPolicy = setup.way === 'round-robin' ? cluster.SCHED_RR : cluster.SCHED_NONE;
  const handle = setup.way === 'sent handle' ? createServerHandle(HOST, setup.port, 4) : undefined;
  if (typeof handle === 'number') throw new Error(`cannot bind: ${handle}`);
  const workers: Worker[] = [];

  const start = async () => {
    const worker = cluster.fork();
    await once(worker, 'online');
    worker.send(setup, handle as net.Server | undefined);
    await once(worker, 'message');
    workers.push(worker);
  };
  const pids = () => [process.pid, ...workers.map((worker) => worker.process.pid ?? 0)];
  const obey: Record<FanOutOrder, () => Promise<unknown>> = {
    count: () =>
      Promise.all(
        workers.map(async (worker) => {
          worker.send('count');
          const [counts] = (await once(worker, 'message')) as [Counts];
          return counts;
        }),
      ),
    kill: async () => {
      const worker = workers.shift();
      worker?.process.kill('SIGKILL');
      await start();
      return pids();
    },
    replace: async () => {
      await start();
      const worker = workers.shift();
      if (!worker) return pids();
      const exit = once(worker, 'exit');
      worker.send('leave');
      await exit;
      return pids();
    },
  };

  for (let count = 0; count < setup.workers; count++) await start();
  process.on('message', (order: FanOutOrder) => {
    void obey[order]().then((answer) => process.send?.({ answer }));
  });
  process.send?.({ answer: pids() });
}

async function runWorker(): Promise<void> {
  const [setup, handle] = (await once(process, 'message')) as [FanOutSetup, net.Server | undefined];
  const { key, cert, port, way } = setup;
  const counts: Counts = { connections: 0, resumed: 0, requests: 0 };
  const server = https.createServer({ key, cert }, (_request, response) => {
    counts.requests++;
    response.writeHead(200, { 'content-type': 'text/plain', 'content-length': body.length });
    response.end(body);
  });
  server.on('secureConnection', (socket) => {
    counts.connections++;
    if (socket.isSessionReused()) counts.resumed++;
  });
  server.on('tlsClientError', () => {});
  server.keepAliveTimeout = 60_000;
  process.on('message', (order) => {
    if (order === 'count') process.send?.(counts);
    if (order === 'leave') server.close(() => cluster.worker?.disconnect());
  });
  if (handle) server.listen(handle);
  else server.listen({ host: HOST, port, reusePort: way === 'reusePort' });
  await once(server, 'listening');
  process.send?.('listening');
}
