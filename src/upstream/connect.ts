import { Agent } from 'node:http';
import { type OnReadOpts, Socket, type SocketConstructorOpts } from 'node:net';
import { writableHighWaterMark } from './outgoing.ts';

/** Milliseconds to wait for the last words of the other side when it does not listen any more. */
const patience = 1000;

type Done = (error?: Error | null) => void;

/**
 * A socket that may read on when it cannot write any more. An upstream that refuses an upload answers and closes while the body is still
 * on its way; the write that fails then would destroy the socket, and with it the answer that is there to be read.
 */
export class PatientSocket extends Socket {
  /** Whether it reads on. */
  patient = true;

  override _write(chunk: Buffer, encoding: BufferEncoding, done: Done): void {
    super._write(chunk, encoding, this.patient ? this.#patiently(done) : done);
  }

  override _writev(chunks: { chunk: Buffer; encoding: BufferEncoding }[], done: Done): void {
    super._writev?.(chunks, this.patient ? this.#patiently(done) : done);
  }

  #patiently(done: Done): Done {
    return (error) => {
      if (!error) {
        done();
        return;
      }
      // Most often the end of what can be read, or a reset, comes first.
      const timer = setTimeout(done, patience, error);
      this.once('close', () => clearTimeout(timer));
    };
  }
}

/**
 * Begins to connect to a target. The socket emits `connect`, or `error`.
 * @param timeout milliseconds, after which it is destroyed with an error
 * @param onread where to read to, when not by events
 */
export function open(url: URL, timeout: number, onread?: OnReadOpts): PatientSocket {
  const socket = new PatientSocket({ ...(onread ? { onread } : {}), writableHighWaterMark } as SocketConstructorOpts);
  const timer = setTimeout(() => socket.destroy(new Error('connect timed out')), timeout);
  const stop = () => clearTimeout(timer);
  socket.once('connect', stop);
  socket.once('close', stop);
  const host = url.hostname.replace(/^\[|\]$/g, '');
  return socket
    .setNoDelay(true)
    .setKeepAlive(true)
    .connect({ host, port: Number(url.port || 80) });
}

/**
 * Connects to a target.
 * @param timeout milliseconds
 * @param signal gives up
 */
export function connect(url: URL, timeout: number, signal: AbortSignal): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const socket = open(url, timeout);
  const stop = () => socket.destroy(new Error('the upstream is closed'));
  signal.addEventListener('abort', stop, { once: true });
  // Stays for good: there is a moment in which the socket belongs to nobody.
  socket.on('error', reject);
  socket.once('connect', () => resolve(socket));
  return promise.finally(() => signal.removeEventListener('abort', stop));
}

/** An agent whose one connection is there already. */
export function adopt(socket: Socket): Agent {
  return new (class extends Agent {
    override createConnection(): Socket {
      return socket;
    }
  })();
}
