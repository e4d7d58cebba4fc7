export interface Percentiles {
  count: number;
  median: number;
  p99: number;
  worst: number;
}

/** Nearest-rank percentiles of `values`; all NaN for none. */
export function percentilesOf(values: readonly number[]): Percentiles {
  const sorted = Float64Array.from(values).sort();
  return {
    count: sorted.length,
    median: atRank(sorted, 0.5),
    p99: atRank(sorted, 0.99),
    worst: sorted.at(-1) ?? Number.NaN,
  };
}

function atRank(sorted: Float64Array, fraction: number): number {
  return sorted[Math.max(0, Math.ceil(sorted.length * fraction) - 1)] ?? Number.NaN;
}
