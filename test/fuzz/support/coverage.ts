import { type Profiler, Session } from 'node:inspector';

/** What tells one way through the code from another: a block, and behind the last blank how often it ran. */
export type Feature = string;

/** Ends of the ranges in which counts are the same feature. */
const buckets = [1, 2, 4, 32];

/** Counts how often the code of some scripts runs, block by block, by the profiler of V8. */
export class Coverage {
  readonly #session = new Session();
  readonly #wanted: string;
  /**
   * Where counts were seen to change, by function. V8 tells of blocks with the same count as one, so that the ranges are others each time; what
   * stays is where they can begin.
   */
  readonly #places = new Map<string, Set<number>>();

  /** @param wanted part of the addresses of the scripts that count; begin before they are loaded */
  constructor(wanted: string) {
    this.#wanted = wanted;
    this.#session.connect();
    this.#session.post('Profiler.enable');
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  }

  /** What ran since the last call. */
  take(): Feature[] {
    const features: Feature[] = [];
    // Called back before `post` returns, because the session is that of its own thread.
    this.#session.post('Profiler.takePreciseCoverage', (error, taken) => {
      if (error) throw error;
      for (const { url, functions } of taken.result) {
        if (!url.includes(this.#wanted)) continue;
        for (const { ranges } of functions) this.#add(features, url, ranges);
      }
    });
    return features;
  }

  #add(features: Feature[], url: string, ranges: readonly Profiler.CoverageRange[]): void {
    const name = `${url.slice(url.lastIndexOf('/') + 1)}:${ranges[0]?.startOffset}`;
    const places = this.#places.get(name) ?? new Set();
    this.#places.set(name, places);
    for (const { startOffset, endOffset } of ranges) places.add(startOffset).add(endOffset);
    for (const place of places) {
      // The innermost range comes last.
      const range = ranges.findLast(({ startOffset, endOffset }) => startOffset <= place && place < endOffset);
      if (range && range.count > 0) features.push(`${name}:${place} ${bucketOf(range.count)}`);
    }
  }

  close(): void {
    this.#session.post('Profiler.stopPreciseCoverage');
    this.#session.disconnect();
  }
}

function bucketOf(count: number): number {
  return buckets.findLast((from) => count >= from) ?? 0;
}
