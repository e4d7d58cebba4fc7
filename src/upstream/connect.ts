import { Agent } from 'node:http';
import { Socket } from 'node:net';

/** Milliseconds to wait for the last words of the other side when it does not listen any more. */
const patience = 1000;

type Done = (error?: Error | null) => void;

/**
 * A socket that reads on when it cannot write any more. An upstream that refuses an upload answers and closes while the body is still
 * on its way; the write that fails then would destroy the socket, and with it the answer that is there to be read.
 */
class PatientSocket extends Socket {
  override _write(chunk: Buffer, encoding: BufferEncoding, done: Done): void {
    super._write(chunk, encoding, this.#patiently(done));
  }

  override _writev(chunks: { chunk: Buffer; encoding: BufferEncoding }[], done: Done): void {
    super._writev?.(chunks, this.#patiently(done));
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
 * Connects to a target.
 * @param timeout milliseconds
 * @param signal gives up
 */
export function connect(url: URL, timeout: number, signal: AbortSignal): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const socket = new PatientSocket();
  const giveUp = (reason: string) => socket.destroy(new Error(reason));
  const timer = setTimeout(giveUp, timeout, 'connect timed out');
  const stop = () => giveUp('the upstream is closed');
  signal.addEventListener('abort', stop, { once: true });
  // Stays for good: there is a moment in which the socket belongs to nobody.
  socket.on('error', reject);
  socket.once('connect', () => resolve(socket));
  const host = url.hostname.replace(/^\[|\]$/g, '');
  socket
    .setNoDelay(true)
    .setKeepAlive(true)
    .connect({ host, port: Number(url.port || 80) });
  return promise.finally(() => {
    clearTimeout(timer);
    signal.removeEventListener('abort', stop);
  });
}

/** An agent whose one connection is there already. */
export function adopt(socket: Socket): Agent {
  return new (class extends Agent {
    override createConnection(): Socket {
      return socket;
    }
  })();
}
