/** Values of every label. The caller keeps them bounded: a series is for ever. */
export type Labels<L extends string> = Readonly<Record<L, string>>;
export type AnyLabels = Readonly<Record<string, string>>;

/** Labels first where the family has some. */
export type Arguments<L extends string, Rest extends readonly unknown[]> = [L] extends [never]
  ? Rest
  : [labels: Labels<L>, ...rest: Rest];

/** A value as prom-client's registry renders it. */
export interface RenderedValue {
  readonly value: number;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly metricName?: string;
}

/** A family as prom-client's registry renders it: of all processes together. */
export interface RenderedFamily {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly aggregator: 'sum' | 'min';
  readonly values: RenderedValue[];
}

/** What all families have. A family without labels has its series from the start, others get them at first use. */
export interface SheetFamily {
  readonly name: string;
  readonly labelNames: readonly string[];
  get(): Promise<RenderedFamily>;
}

export interface SheetCounter<L extends string = never> extends SheetFamily {
  /** Counts 1, or `n`. @throws {RangeError} when `n` is negative or no number */
  inc(...args: Arguments<L, [n?: number]>): void;
}

export interface SheetGauge<L extends string = never> extends SheetFamily {
  inc(...args: Arguments<L, [n?: number]>): void;
  dec(...args: Arguments<L, [n?: number]>): void;
  set(...args: Arguments<L, [value: number]>): void;
}

export interface SheetHistogram<L extends string = never> extends SheetFamily {
  /** Counts a value that is not negative. @throws {RangeError} when it is, or is no number */
  observe(...args: Arguments<L, [value: number]>): void;
}
