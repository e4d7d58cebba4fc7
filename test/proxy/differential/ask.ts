import { once } from 'node:events';
import { connect, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls';
import { quiet, stir } from './quiet.ts';

/** What became of a connection. */
export interface Heard {
  /** Everything that was received, one character for each octet. */
  readonly text: string;
  /** The server closed it, before the client did. */
  readonly closed: boolean;
}

interface Door {
  readonly port: number;
  readonly ca: string;
}

/** Milliseconds in which a door closes a connection whose client has closed its side. */
const patience = 5000;

/** What is made once for each door, because a handshake costs more than a request. */
interface Access {
  readonly secureContext: SecureContext;
  session: Buffer | undefined;
}

const accesses = new WeakMap<Door, Access>();

function accessTo(door: Door): Access {
  const known = accesses.get(door);
  if (known) return known;
  // TLS 1.2 resumes without a key exchange.
  const made = { secureContext: createSecureContext({ ca: door.ca, maxVersion: 'TLSv1.2' }), session: undefined };
  accesses.set(door, made);
  return made;
}

async function open(door: Door): Promise<TLSSocket> {
  const access = accessTo(door);
  const { secureContext, session } = access;
  const socket = connect({
    host: '127.0.0.1',
    port: door.port,
    secureContext,
    servername: 'app.test',
    ALPNProtocols: ['http/1.1'],
    ...(session ? { session } : {}),
  });
  if (!session) {
    socket.once('session', (made: Buffer) => {
      access.session = made;
    });
  }
  socket.setNoDelay(true);
  await once(socket, 'secureConnect');
  return socket;
}

/** What would have brought the program down. The test runner itself only mentions what no test is found for. */
const crashes: unknown[] = [];
process.on('uncaughtException', (error) => crashes.push(error));

/**
 * Sends octets on a connection of their own, each piece in a TLS record of its own, and waits for what comes of it.
 * @param last is sent when nothing moves any more; then the client closes its side
 * @param patient see `quiet`
 */
export async function ask(door: Door, pieces: readonly Buffer[], last: string, patient: boolean): Promise<Heard> {
  const socket = await open(door);
  let text = '';
  let over = false;
  let ending = false;
  let closed = false;
  socket.setEncoding('latin1');
  socket.on('error', () => {});
  socket.on('data', (chunk: string) => {
    stir();
    text += chunk;
  });
  const finish = () => {
    stir();
    if (!ending) closed = true;
  };
  socket.on('end', finish);
  const gone = new Promise<void>((resolve) => {
    socket.once('close', () => {
      finish();
      over = true;
      resolve();
    });
  });
  await send(socket, pieces);
  await quiet(patient);
  if (!over && !closed && last !== '') {
    await send(socket, [Buffer.from(last, 'latin1')]);
    await quiet(patient);
  }
  ending = true;
  if (!over) socket.end();
  const tooLong = setTimeout(() => socket.destroy(new Error('the door does not let go')), patience);
  await gone;
  clearTimeout(tooLong);
  if (socket.errored?.message === 'the door does not let go') throw socket.errored;
  if (crashes.length > 0) throw new Error('the door crashed', { cause: crashes.shift() });
  return { text, closed };
}

async function send(socket: TLSSocket, pieces: readonly Buffer[]): Promise<void> {
  for (const piece of pieces) {
    if (!socket.writable) return;
    await new Promise<void>((resolve) => socket.write(piece, () => resolve()));
    stir();
  }
}
