import { once } from 'node:events';
import { WebSocket } from 'ws';
import { REQUEST_TIMEOUT_MS, type Run, reasonOf } from './run.ts';

const MESSAGE_INTERVAL_MS = 100;

/** Holds a WebSocket open and has a message echoed ten times a second; after a cut it connects again. */
export async function webSocketClient(run: Run): Promise<void> {
  while (!run.stopping.aborted) {
    try {
      await converse(run);
    } catch (error) {
      run.cutWebSocket(reasonOf(error));
      await run.pause(MESSAGE_INTERVAL_MS);
    }
  }
}

async function converse(run: Run): Promise<void> {
  const { host, port, servername } = run.target;
  const options = {
    servername,
    headers: { host: servername },
    secureContext: run.secureContext,
    perMessageDeflate: false,
    handshakeTimeout: REQUEST_TIMEOUT_MS,
  };
  const socket = new WebSocket(`wss://${host}:${port}/echo`, options);
  // One promise for every way in which it may end, so that no wait below outlives the connection.
  const cut = new Promise<never>((_, reject) => {
    socket.on('error', reject);
    socket.once('close', (code) => reject(new Error(`closed with ${code}`)));
  });
  cut.catch(() => {});
  try {
    await Promise.race([once(socket, 'open'), cut]);
    for (let count = 0; !run.stopping.aborted; count++) {
      const began = performance.now();
      await Promise.race([echo(socket, `message ${count}`), cut]);
      run.succeed('websocket', performance.now() - began);
      await Promise.race([run.pause(MESSAGE_INTERVAL_MS), cut]);
    }
    socket.close(1000);
  } finally {
    if (socket.readyState !== WebSocket.CLOSING) socket.terminate();
  }
}

async function echo(socket: WebSocket, message: string): Promise<void> {
  socket.send(message);
  const [data] = await once(socket, 'message', { signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) });
  if (String(data) !== message) throw new Error('wrong echo');
}
