import { once } from 'node:events';
import { connect, type TLSSocket } from 'node:tls';
import type { LoadTarget } from '../../support/load/types.ts';

/** Makes two connections and rejects unless the second one resumed the session of the first. */
export async function checkResumption(target: LoadTarget, path: string): Promise<void> {
  const { session } = await exchange(target, path);
  if (!session) throw new Error('it gave no session to resume');
  const { resumed } = await exchange(target, path, session);
  if (!resumed) throw new Error('it resumed no session');
}

async function exchange(
  { host = '127.0.0.1', port, servername, ca }: LoadTarget,
  path: string,
  offered?: Buffer,
): Promise<{ session: Buffer | undefined; resumed: boolean }> {
  const socket: TLSSocket = connect({ host, port, servername, ca, ...(offered && { session: offered }) });
  let session: Buffer | undefined;
  socket.on('session', (given: Buffer) => {
    session = given;
  });
  const signal = AbortSignal.timeout(10_000);
  await once(socket, 'secureConnect', { signal });
  const resumed = socket.isSessionReused();
  socket.write(`GET ${path} HTTP/1.1\r\nHost: ${servername}:${port}\r\nConnection: close\r\n\r\n`);
  socket.resume();
  await once(socket, 'close', { signal });
  return { session, resumed };
}
