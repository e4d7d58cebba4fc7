import { Family } from './family.ts';
import type { Sheet } from './sheet.ts';
import type { SheetSum, Total } from './sum.ts';
import type { AnyLabels, RenderedFamily, RenderedValue, SheetFamily } from './types.ts';

/** What makes a family. */
export interface FamilyOptions {
  /** The full name (`swivel_requests_total`). */
  readonly name: string;
  readonly help: string;
  readonly labelNames: readonly string[];
}

// Each method takes what the method of prom-client takes: `inc()`, `inc(2)`, `inc(labels)`, `inc(labels, 2)`. Which of them a family allows is said
// by SheetCounter and its like (types.ts).

/** A count that only grows, in the sheet of this process. */
export class Counter implements SheetFamily {
  readonly #sheet: Sheet;
  readonly #family: Family;
  readonly name: string;
  readonly labelNames: readonly string[];

  constructor(sheet: Sheet, sum: SheetSum, { name, help, labelNames }: FamilyOptions) {
    this.#sheet = sheet;
    this.name = name;
    this.labelNames = labelNames;
    this.#family = new Family(sheet, sum, { name, type: 'counter', labelNames, slots: 1, aggregator: 'sum' }, help);
  }

  inc(labels: AnyLabels | number = 1, n = 1): void {
    const labelled = typeof labels === 'object';
    const amount = labelled ? n : labels;
    if (!(amount >= 0 && amount < Number.POSITIVE_INFINITY)) throw new RangeError(`${this.name}: counts ${amount}`);
    this.#sheet.add(labelled ? this.#family.find(labels) : this.#family.only, amount);
  }

  get(): Promise<RenderedFamily> {
    return Promise.resolve(this.#family.render(single));
  }
}

/** A value that goes up and down, in the sheet of this process. */
export class Gauge implements SheetFamily {
  readonly #sheet: Sheet;
  readonly #family: Family;
  readonly name: string;
  readonly labelNames: readonly string[];

  /** @param aggregator how those of several processes become one */
  constructor(sheet: Sheet, sum: SheetSum, options: FamilyOptions, aggregator: 'sum' | 'min') {
    const { name, labelNames } = options;
    this.#sheet = sheet;
    this.name = name;
    this.labelNames = labelNames;
    this.#family = new Family(sheet, sum, { name, type: 'gauge', labelNames, slots: 1, aggregator }, options.help);
  }

  inc(labels: AnyLabels | number = 1, n = 1): void {
    if (typeof labels === 'object') this.#sheet.add(this.#family.find(labels), n);
    else this.#sheet.add(this.#family.only, labels);
  }

  dec(labels: AnyLabels | number = 1, n = 1): void {
    if (typeof labels === 'object') this.#sheet.add(this.#family.find(labels), -n);
    else this.#sheet.add(this.#family.only, -labels);
  }

  set(labels: AnyLabels | number, value = 0): void {
    if (typeof labels === 'object') this.#sheet.set(this.#family.find(labels), value);
    else this.#sheet.set(this.#family.only, labels);
  }

  get(): Promise<RenderedFamily> {
    return Promise.resolve(this.#family.render(single));
  }
}

/** How often values fell between bounds, in the sheet of this process: a slot for each bound (not cumulative), sum, count. */
export class Histogram implements SheetFamily {
  readonly #sheet: Sheet;
  readonly #family: Family;
  readonly #bounds: readonly number[];
  readonly name: string;
  readonly labelNames: readonly string[];

  /** @param bounds the upper bounds, ascending */
  constructor(sheet: Sheet, sum: SheetSum, options: FamilyOptions, bounds: readonly number[]) {
    const { name, labelNames } = options;
    this.#sheet = sheet;
    this.#bounds = bounds;
    this.name = name;
    this.labelNames = labelNames;
    const slots = bounds.length + 2;
    this.#family = new Family(
      sheet,
      sum,
      { name, type: 'histogram', labelNames, slots, aggregator: 'sum' },
      options.help,
    );
  }

  observe(labels: AnyLabels | number, value = Number.NaN): void {
    const labelled = typeof labels === 'object';
    const observed = labelled ? value : labels;
    if (!(observed >= 0 && observed < Number.POSITIVE_INFINITY)) throw new RangeError(`${this.name}: saw ${observed}`);
    const slot = labelled ? this.#family.find(labels) : this.#family.only;
    const bounds = this.#bounds;
    let bucket = 0;
    while (bucket < bounds.length && observed > (bounds[bucket] as number)) bucket += 1;
    this.#sheet.observe(slot + bucket, slot + bounds.length, observed);
  }

  get(): Promise<RenderedFamily> {
    return Promise.resolve(this.#family.render((total, labels) => this.#valuesOf(total, labels)));
  }

  #valuesOf({ values }: Total, labels: AnyLabels): RenderedValue[] {
    const rendered: RenderedValue[] = [];
    const count = values[this.#bounds.length + 1] as number;
    let cumulative = 0;
    for (const [i, le] of this.#bounds.entries()) {
      cumulative += values[i] as number;
      rendered.push({ metricName: `${this.name}_bucket`, labels: { le, ...labels }, value: cumulative });
    }
    rendered.push({ metricName: `${this.name}_bucket`, labels: { le: '+Inf', ...labels }, value: count });
    rendered.push({ metricName: `${this.name}_sum`, labels, value: values[this.#bounds.length] as number });
    rendered.push({ metricName: `${this.name}_count`, labels, value: count });
    return rendered;
  }
}

function single(total: Total, labels: AnyLabels): RenderedValue[] {
  return [{ value: total.values[0] as number, labels }];
}
