import type { Sample } from './types.ts';

/** What a sample may be slowed by others than the benchmark. */
const tolerated = 1.15;
/** How often a sample is taken, at most. */
const tries = 4;

/**
 * Takes a sample while the machine is left alone: again and again, when it was not, and then the one that was slowed least.
 * @param slowdown of the processor since it was last asked
 * @param once whether one has to do, however it was
 * @returns the sample, with what it was slowed by
 */
export async function undisturbed(
  measure: () => Promise<Sample>,
  slowdown: () => Promise<number>,
  once = false,
): Promise<Sample> {
  let best: Sample & { slowdown: number } = { slowdown: Number.POSITIVE_INFINITY };
  for (let left = once ? 1 : tries; left > 0 && best.slowdown > tolerated; left -= 1) {
    await slowdown();
    const sample = await measure();
    const slowed = await slowdown();
    if (slowed < best.slowdown) best = { ...sample, slowdown: slowed };
  }
  return best;
}
