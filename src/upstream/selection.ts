/** What selection needs to know of a target. */
export interface Selectable {
  readonly healthy: boolean;
}

/**
 * Round robin over the healthy targets; over all of them when none is healthy, because a wrong guess beats a sure refusal.
 * Pure.
 * @param cursor grows by one with each call of the caller
 * @param tried targets that failed for this request already
 * @returns null when every target was tried
 */
export function select<T extends Selectable>(targets: readonly T[], cursor: number, tried: ReadonlySet<T>): T | null {
  const untried = targets.filter((target) => !tried.has(target));
  const healthy = untried.filter((target) => target.healthy);
  const from = healthy.length > 0 ? healthy : untried;
  return from[cursor % Math.max(from.length, 1)] ?? null;
}
