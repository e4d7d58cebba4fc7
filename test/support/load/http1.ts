import type { IncomingMessage } from 'node:http';
import https from 'node:https';
import type { TLSSocket } from 'node:tls';
import { bodyFor } from './bodies.ts';
import { REQUEST_TIMEOUT_MS, type Run, readText, reasonOf } from './run.ts';

/** A failed request, and whether its connection had carried an earlier one. */
class RequestFailure extends Error {
  readonly reused: boolean;

  constructor(reason: string, reused: boolean) {
    super(reason);
    this.reused = reused;
  }
}

/** One client with one connection: request, response, a moment's thought, the next request. It never retries. */
export async function keepAliveClient(run: Run, thinkMs: number): Promise<void> {
  const agent = new https.Agent({ keepAlive: true, maxSockets: 1, maxCachedSessions: 0 });
  let idle = false;
  let closeAnnounced = false;
  const watchSocket = (socket: TLSSocket) => {
    run.connections.keepAlive++;
    closeAnnounced = false;
    socket.once('close', () => {
      if (idle && !closeAnnounced && !run.stopping.aborted) run.idleCloses++;
    });
  };
  // Clients that start together would think in step.
  await run.pause(Math.random() * thinkMs);
  while (!run.stopping.aborted) {
    const began = performance.now();
    try {
      idle = false;
      const response = await exchange(run, run.uniquePath('keep-alive'), agent, watchSocket);
      closeAnnounced = response.headers.connection?.toLowerCase() === 'close';
      run.succeed('keep-alive', performance.now() - began);
    } catch (error) {
      run.fail('keep-alive', reasonOf(error), { reused: error instanceof RequestFailure && error.reused });
    }
    idle = true;
    await run.pause(thinkMs);
  }
  agent.destroy();
}

/** Opens connections at a fixed rate, whatever happens to the earlier ones, and makes one request on each. */
export async function freshConnections(run: Run, perSecond: number): Promise<void> {
  const open = new Set<Promise<void>>();
  const began = performance.now();
  for (let count = 0; !run.stopping.aborted; count++) {
    const connection = freshConnection(run).finally(() => open.delete(connection));
    open.add(connection);
    await run.pause(Math.max(0, began + ((count + 1) * 1000) / perSecond - performance.now()));
  }
  await Promise.all(open);
}

async function freshConnection(run: Run): Promise<void> {
  const began = performance.now();
  try {
    await exchange(run, run.uniquePath('fresh'), false);
    run.succeed('fresh', performance.now() - began);
  } catch (error) {
    run.fail('fresh', reasonOf(error), { reused: false });
  }
}

/** The options of a verified request to the target. */
export function requestOptions(run: Run, path: string, agent: https.Agent | false) {
  const { host, port, servername } = run.target;
  return { host, port, servername, path, agent, headers: { host: servername }, secureContext: run.secureContext };
}

/** One request, read to its end and compared with what the upstream answers. */
async function exchange(
  run: Run,
  path: string,
  agent: https.Agent | false,
  onNewSocket?: (socket: TLSSocket) => void,
): Promise<IncomingMessage> {
  const request = https.get(requestOptions(run, path, agent));
  let phase = 'before the response';
  request.setTimeout(REQUEST_TIMEOUT_MS, () => request.destroy(new Error('timed out')));
  request.once('socket', (socket) => {
    if (!request.reusedSocket) onNewSocket?.(socket as TLSSocket);
  });
  try {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      // Stays for good: an error in the body also reaches its reader.
      request.once('response', resolve).on('error', reject);
    });
    phase = 'in the body';
    const body = await readText(response);
    if (response.statusCode !== 200) throw new Error(`status ${response.statusCode}`);
    if (body !== bodyFor(path)) throw new Error('wrong content');
    return response;
  } catch (error) {
    throw new RequestFailure(`${reasonOf(error)} (${phase})`, request.reusedSocket);
  }
}
