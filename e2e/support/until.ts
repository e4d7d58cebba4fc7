import { setTimeout as pause } from 'node:timers/promises';

/** Milliseconds that something may take to come: bounds a test that waits in vain, and holds on a machine that is busy with much else. */
export const patience = 60_000;

/**
 * Looks at a condition until it holds; for what no event tells.
 * @returns what the condition returned, once that is neither false, null nor undefined
 */
export async function until<T>(
  what: string,
  look: () => T | Promise<T>,
  withinMs = patience,
): Promise<NonNullable<Exclude<T, false>>> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const found = await look();
    if (found !== false && found !== null && found !== undefined) return found as NonNullable<Exclude<T, false>>;
    if (performance.now() > deadline) throw new Error(`waited in vain: ${what}`);
    await pause(10);
  }
}
