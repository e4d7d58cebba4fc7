import { readdirSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';

/** The niceness of the primary, where it may have one below the usual. */
const primaryNiceness = -5;

/** What a process leaves to itself when it begins anew (see `limitCapabilities`): its id and the niceness it had. */
const marker = 'SWIVEL_NICENESS';

/**
 * Puts this process before the workers that it will start: it has little to do, but that in many small steps, and each would wait in a row
 * with workers that are busy (measured with 8 workers on 2 full cores: 127 ms to read a changed file, 6 ms with priority). Needs root or
 * CAP_SYS_NICE; without, and where the process was given a niceness by its user, everything stays as it is. May be called again.
 * @returns the niceness that others are to have
 */
export function goFirst(): number {
  const [id, before] = (process.env[marker] ?? '').split(':').map(Number);
  if (id === process.pid && before !== undefined) return before;
  const niceness = getPriority();
  process.env[marker] = `${process.pid}:${niceness}`;
  if (niceness === 0) setEverywhere(primaryNiceness);
  return niceness;
}

/** Gives this process a niceness; a higher one is always allowed. */
export function setNiceness(niceness: number): void {
  if (getPriority() !== niceness) setEverywhere(niceness);
}

/** To Linux niceness is a thread's (setpriority(2), "C library/kernel differences"). */
function setEverywhere(niceness: number): void {
  try {
    for (const thread of readdirSync('/proc/self/task')) setPriority(Number(thread), niceness);
  } catch {
    // Not allowed, or another system.
  }
}
