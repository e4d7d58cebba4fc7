/** One labelled series of a sheet: which slots are its own. */
export interface Series {
  /** The full name of the family (`swivel_requests_total`). */
  readonly family: string;
  /** Label values, in the order of the family's label names. */
  readonly labels: readonly string[];
  /** The first slot. */
  readonly slot: number;
  /** How many slots: 1, or those of a histogram (its buckets, not cumulative; sum; count). */
  readonly slots: number;
  /** `labels` as one string, so that adding sheets up needs no new one at each scrape. */
  readonly key: string;
}

/** What a process had counted at one moment. Plain data: it can be sent in a message. */
export interface Reading {
  readonly series: readonly Series[];
  /** By slot. Every series of the reading has its slots in here. */
  readonly values: Float64Array;
}

/** Something that tells what a process has counted. `read` may throw when it cannot tell right now. */
export interface ReadingSource {
  read(): Reading;
}

/** The reading of a process that has counted nothing. */
export const nothingRead: Reading = { series: [], values: new Float64Array(0) };

/** Makes the description of a series. */
export function seriesOf(family: string, labels: readonly string[], slot: number, slots: number): Series {
  return { family, labels, slot, slots, key: JSON.stringify(labels) };
}

/** A series as a line of the file of series, with its newline. */
export function toLine({ family, labels, slot, slots }: Series): string {
  return `${JSON.stringify([family, slot, slots, ...labels])}\n`;
}

/** Reads a line of the file of series; `null` when it is not one. The process that wrote it is trusted with less than its reader. */
export function fromLine(line: string): Series | null {
  let parts: unknown;
  try {
    parts = JSON.parse(line);
  } catch {
    return null;
  }
  if (!Array.isArray(parts)) return null;
  const [family, slot, slots, ...labels] = parts as unknown[];
  if (typeof family !== 'string' || !isCount(slot) || !isCount(slots)) return null;
  return labels.every((label) => typeof label === 'string') ? seriesOf(family, labels, slot, slots) : null;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
