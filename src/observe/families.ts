import type { Registry } from 'prom-client';
import { promClient } from './prom-client.ts';
import { Counter as CounterOnSheet, Gauge as GaugeOnSheet, Histogram as HistogramOnSheet } from './sheet/families.ts';
import type { Sheet } from './sheet/sheet.ts';
import type { SheetSum } from './sheet/sum.ts';
import type { SheetCounter, SheetFamily, SheetGauge, SheetHistogram } from './sheet/types.ts';

const seconds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** Makes families that only the process which has the admin endpoints knows, on a registry. Names get their prefix here. */
export function familiesOf(registry: Registry) {
  const { Counter, Gauge, Histogram } = promClient();
  const registers = [registry];
  return {
    counter: <L extends string>(name: string, help: string, labelNames: readonly L[] = []) =>
      new Counter<L>({ registers, name: `swivel_${name}`, help, labelNames }),
    gauge: <L extends string>(name: string, help: string, labelNames: readonly L[] = []) =>
      new Gauge<L>({ registers, name: `swivel_${name}`, help, labelNames }),
    histogram: <L extends string>(name: string, help: string, labelNames: readonly L[] = []) =>
      new Histogram<L>({ registers, name: `swivel_${name}`, help, labelNames, buckets: seconds }),
  };
}

/**
 * Makes families that every serving process counts on its sheet, and shows those of all processes together.
 * @param show called with each of them
 */
export function sheetFamiliesOf(sheet: Sheet, sum: SheetSum, show: (family: SheetFamily) => void) {
  const shown = <F extends SheetFamily>(family: F): F => {
    show(family);
    return family;
  };
  return {
    counter: <L extends string = never>(name: string, help: string, labelNames: readonly L[] = []): SheetCounter<L> =>
      shown(new CounterOnSheet(sheet, sum, { name: `swivel_${name}`, help, labelNames })),
    gauge: <L extends string = never>(
      name: string,
      help: string,
      labelNames: readonly L[] = [],
      aggregator: 'sum' | 'min' = 'sum',
    ): SheetGauge<L> => shown(new GaugeOnSheet(sheet, sum, { name: `swivel_${name}`, help, labelNames }, aggregator)),
    histogram: <L extends string = never>(
      name: string,
      help: string,
      labelNames: readonly L[] = [],
    ): SheetHistogram<L> =>
      shown(new HistogramOnSheet(sheet, sum, { name: `swivel_${name}`, help, labelNames }, seconds)),
  };
}
