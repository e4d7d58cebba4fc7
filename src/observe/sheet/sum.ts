import { nothingRead, type Reading, type ReadingSource } from './reading.ts';

/** What has to be known of a family to add up the sheets of several processes. */
export interface FamilyFacts {
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly labelNames: readonly string[];
  /** Of each series. */
  readonly slots: number;
  readonly aggregator: 'sum' | 'min';
}

/** A series of all processes together. */
export interface Total {
  readonly labels: readonly string[];
  readonly values: Float64Array;
}

/** By family, then by the key of the series. */
type Totals = Map<string, Map<string, Total>>;

/** A process whose sheet is read. */
interface Attached {
  readonly source: ReadingSource;
  /** The last reading that could be had. */
  last: Reading;
}

/**
 * The sheets of all processes as one: this one's, those of processes that run, and what those counted that are gone. Counters and histograms never
 * go backwards.
 */
export class SheetSum {
  readonly #local: ReadingSource;
  readonly #families = new Map<string, FamilyFacts>();
  readonly #attached = new Map<number, Attached>();
  readonly #retired: Totals = new Map();
  /** Sums of histograms as they were last shown. */
  readonly #shown = new Map<string, number>();
  #totals: Totals | null = null;

  /** @param local the sheet of this process */
  constructor(local: ReadingSource) {
    this.#local = local;
  }

  /** Makes a family known; series of others, or of another shape (another version of Swivel wrote them), are left out. */
  define(facts: FamilyFacts): void {
    this.#families.set(facts.name, facts);
    this.#totals = null;
  }

  /**
   * Adds the sheet of another process. When it cannot be read for a moment, its last reading counts.
   * @param id of the process; one that is attached under it already is retired first
   */
  attach(id: number, source: ReadingSource): void {
    this.retire(id);
    this.#attached.set(id, { source, last: nothingRead });
    this.#totals = null;
  }

  /** A process is gone: reads it one last time, keeps its counters and histograms for ever, forgets its gauges. The source can be closed then. */
  retire(id: number): void {
    const attached = this.#attached.get(id);
    if (!attached) return;
    this.#add(this.#retired, readingOf(attached), ({ type }) => type !== 'gauge');
    this.#attached.delete(id);
    this.#totals = null;
  }

  /** The series of a family. All families that are asked for in one go are of the same moment. */
  totals(family: string): Iterable<Total> {
    if (!this.#totals) {
      this.#totals = this.#sum();
      // A registry asks every family for its values before it waits for the first.
      queueMicrotask(() => {
        this.#totals = null;
      });
    }
    return this.#totals.get(family)?.values() ?? [];
  }

  #sum(): Totals {
    const totals: Totals = new Map();
    this.#add(totals, this.#local.read());
    for (const attached of this.#attached.values()) this.#add(totals, readingOf(attached));
    for (const [name, series] of this.#retired) {
      const facts = this.#families.get(name) as FamilyFacts;
      for (const [key, { labels, values }] of series) addUp(totals, facts, key, labels, values, 0);
    }
    this.#keepSums(totals);
    return totals;
  }

  #add(totals: Totals, { series, values }: Reading, takes: (facts: FamilyFacts) => boolean = () => true): void {
    for (const { family, labels, slot, slots, key } of series) {
      const facts = this.#families.get(family);
      if (!facts || facts.slots !== slots || facts.labelNames.length !== labels.length) continue;
      if (slot + slots > values.length || !takes(facts)) continue;
      addUp(totals, facts, key, labels, values, slot);
    }
  }

  /** Adding the same fractions in another order, after a process was retired, may give a last digit less: to Prometheus, a counter that began again. */
  #keepSums(totals: Totals): void {
    for (const [name, series] of totals) {
      const { type, slots } = this.#families.get(name) as FamilyFacts;
      if (type !== 'histogram') continue;
      for (const [key, { values }] of series) {
        const id = `${name} ${key}`;
        const sum = Math.max(values[slots - 2] as number, this.#shown.get(id) ?? 0);
        values[slots - 2] = sum;
        this.#shown.set(id, sum);
      }
    }
  }
}

function readingOf(attached: Attached): Reading {
  try {
    attached.last = attached.source.read();
  } catch {
    // The last one it is, then.
  }
  return attached.last;
}

/** Adds the values from `slot` on. No views and iterators in here: it runs for each series of each process at each scrape. */
function addUp(
  totals: Totals,
  { name, slots, aggregator }: FamilyFacts,
  key: string,
  labels: readonly string[],
  values: Float64Array,
  slot: number,
): void {
  let family = totals.get(name);
  if (!family) {
    family = new Map();
    totals.set(name, family);
  }
  const total = family.get(key)?.values;
  if (!total) {
    family.set(key, { labels, values: values.slice(slot, slot + slots) });
    return;
  }
  for (let i = 0; i < slots; i++) {
    const before = total[i] as number;
    const value = values[slot + i] as number;
    total[i] = aggregator === 'min' ? Math.min(before, value) : before + value;
  }
}
