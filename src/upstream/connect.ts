import { Agent } from 'node:http';
import { connect as connectSocket, type Socket } from 'node:net';

/**
 * Opens a connection of its own, outside the pools.
 * @param timeout milliseconds
 */
export function connect(url: URL, timeout: number): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const socket = connectSocket({ host, port: Number(url.port || 80), noDelay: true });
  const timer = setTimeout(() => socket.destroy(new Error('connect timed out')), timeout);
  socket.once('error', reject);
  socket.once('connect', () => {
    socket.off('error', reject);
    resolve(socket);
  });
  return promise.finally(() => clearTimeout(timer));
}

/** An agent whose one connection is there already. */
export function adopt(socket: Socket): Agent {
  return new (class extends Agent {
    override createConnection(): Socket {
      return socket;
    }
  })();
}
