import type { Server } from 'node:net';
import { nextTurn } from '../pace.ts';

/** More turns than a queue has places: those that come meanwhile must not keep it open for ever. */
const mostTurns = 1024;

/**
 * Stops accepting, once everybody who stood in the queue of a listening socket was let in: the system resets the connections that nobody
 * accepted when the last process closes the socket, and their clients had seen them established. Node accepts one in each turn of its
 * event loop.
 */
export async function closeWhenQueueIsEmpty(server: Server): Promise<void> {
  let accepted = true;
  const note = () => {
    accepted = true;
  };
  server.on('connection', note);
  // What is left of this turn may be past the socket already.
  await nextTurn();
  for (let turn = 0; accepted && turn < mostTurns; turn += 1) {
    accepted = false;
    await nextTurn();
  }
  server.off('connection', note);
  if (server.listening) server.close();
}
