import { eventually } from '../../support/swivel.ts';

/** Writes as much as is taken, up to a limit in bytes: stops when the socket was full for a hundred turns of the event loop. */
export async function fill(
  socket: { writableNeedDrain: boolean; write(chunk: Buffer): boolean },
  limit: number,
  chunk = Buffer.alloc(64 * 1024, 'x'),
): Promise<number> {
  let sent = 0;
  let full = 0;
  await eventually(() => {
    if (!socket.writableNeedDrain && sent + chunk.length <= limit) {
      sent += chunk.length;
      socket.write(chunk);
      full = 0;
    } else full += 1;
    return full === 100;
  });
  return sent;
}
