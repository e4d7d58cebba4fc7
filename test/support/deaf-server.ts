import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { Worker } from 'node:worker_threads';

/** Listens, then blocks its whole thread, so that nothing is ever accepted. */
const listenAndBlock = `
  const { parentPort, workerData } = require('node:worker_threads');
  const server = require('node:net').createServer().listen(0, '127.0.0.1', 1, () => {
    parentPort.postMessage(server.address().port);
    setImmediate(() => Atomics.wait(workerData, 0, 0));
  });
`;

/** A port of loopback that neither accepts nor refuses: its queue of connections is full. */
export async function startDeafServer(t: Pick<TestContext, 'after'>): Promise<number> {
  const gate = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(listenAndBlock, { eval: true, workerData: gate });
  const [port] = (await once(worker, 'message')) as [number];
  const waiting: Socket[] = [];
  t.after(async () => {
    for (const socket of waiting) socket.destroy();
    Atomics.store(gate, 0, 1);
    Atomics.notify(gate, 0);
    await worker.terminate();
  });
  // The queue takes a few; what comes after them hangs. A turn of the event loop is enough for one that is taken.
  for (let hanging = 0; hanging < 2; ) {
    const socket = connect(port, '127.0.0.1').on('error', () => {});
    waiting.push(socket);
    const taken = await Promise.race([once(socket, 'connect'), new Promise((resolve) => setTimeout(resolve, 50))]);
    if (!taken) hanging += 1;
  }
  return port;
}
