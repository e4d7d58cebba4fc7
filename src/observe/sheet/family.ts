import type { Sheet } from './sheet.ts';
import type { FamilyFacts, SheetSum, Total } from './sum.ts';
import type { AnyLabels, RenderedFamily, RenderedValue } from './types.ts';

type Level = Map<string, Level | number>;

/** The series of a family in the sheet of this process, found by the values of their labels. */
export class Family {
  readonly #sheet: Sheet;
  readonly #sum: SheetSum;
  readonly #facts: FamilyFacts;
  readonly #help: string;
  readonly #root: Level = new Map();
  readonly #names: readonly string[];
  readonly #last: string;
  readonly #only: number;

  /** @param sum where this family is rendered from; it is made known there */
  constructor(sheet: Sheet, sum: SheetSum, facts: FamilyFacts, help: string) {
    this.#sheet = sheet;
    this.#sum = sum;
    this.#facts = facts;
    this.#help = help;
    this.#names = facts.labelNames.slice(0, -1);
    this.#last = facts.labelNames.at(-1) ?? '';
    sum.define(facts);
    this.#only = facts.labelNames.length === 0 ? sheet.open(facts.name, [], facts.slots) : -1;
  }

  /** The first slot of the only series. @throws {TypeError} when the family has labels */
  get only(): number {
    if (this.#only < 0) throw new TypeError(`${this.#facts.name} needs labels`);
    return this.#only;
  }

  /** The first slot of a series. Makes nothing but at the first use of it. @throws {TypeError} when a label has no value */
  find(labels: AnyLabels): number {
    if (this.#only >= 0) return this.#only;
    let level = this.#root;
    for (const name of this.#names) {
      const next = level.get(labels[name] as string);
      if (next === undefined) return this.#open(labels);
      level = next as Level;
    }
    const slot = level.get(labels[this.#last] as string);
    return slot === undefined ? this.#open(labels) : (slot as number);
  }

  /** What the registry asks for: every series, of all processes together. */
  render(valuesOf: (total: Total, labels: AnyLabels) => readonly RenderedValue[]): RenderedFamily {
    const { name, type, labelNames, aggregator } = this.#facts;
    const values: RenderedValue[] = [];
    for (const total of this.#sum.totals(name)) {
      const labels = Object.fromEntries(labelNames.map((label, i) => [label, total.labels[i] as string]));
      values.push(...valuesOf(total, labels));
    }
    return { name, help: this.#help, type, aggregator, values };
  }

  #open(labels: AnyLabels): number {
    const values = this.#facts.labelNames.map((name) => {
      const value: unknown = labels[name];
      if (typeof value !== 'string') throw new TypeError(`${this.#facts.name} needs a text for its label ${name}`);
      return value;
    });
    let level = this.#root;
    for (const value of values.slice(0, -1)) {
      const next = (level.get(value) as Level | undefined) ?? new Map();
      level.set(value, next);
      level = next;
    }
    const slot = this.#sheet.open(this.#facts.name, values, this.#facts.slots);
    level.set(values.at(-1) as string, slot);
    return slot;
  }
}
