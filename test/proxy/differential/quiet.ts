import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';

/** Turns of the event loop in which nothing moves, after which nothing is on its way: client, doors and upstreams live in one process. */
const turns = 25;

let moved = 0;

/** Notes that something arrived somewhere. */
export function stir(): void {
  moved += 1;
}

/**
 * Resolves when nothing moves any more.
 * @param patient also gives the system time to deliver: for a second look at what seems to be wrong
 */
export async function quiet(patient: boolean): Promise<void> {
  let before = moved;
  for (let still = 0; still < turns; still += 1) {
    if (patient) await delay(4);
    else await nextTurn();
    if (moved === before) continue;
    before = moved;
    still = 0;
  }
}
