import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { Sheet } from '../../../src/observe/index.ts';
import {
  Counter as SheetCounter,
  Gauge as SheetGauge,
  Histogram as SheetHistogram,
} from '../../../src/observe/sheet/families.ts';
import { SheetSum } from '../../../src/observe/sheet/sum.ts';

/** What a labelled family of either kind can be asked. */
interface Labelled {
  inc(labels: Record<string, string>, n?: number): void;
  set(labels: Record<string, string>, value: number): void;
  observe(labels: Record<string, string>, value: number): void;
}

const labelNames = ['method', 'code'];
const buckets = [0.5, 1, 2.5];

/** The same families twice: prom-client's own and those on a sheet, each on a registry. */
function twice() {
  const [theirs, ours] = [new Registry(), new Registry()];
  const sheet = new Sheet();
  const sum = new SheetSum(sheet);
  const both = (name: string) => ({ name, help: `What "${name}" \\ counts\nhere`, registers: [theirs] });
  const pair = <T, O>(theirFamily: T, ourFamily: O) => {
    ours.registerMetric(ourFamily as unknown as Counter);
    return [theirFamily, ourFamily] as const;
  };
  const of = (name: string, labels: string[]) => ({ ...both(name), labelNames: labels });
  return {
    theirs,
    ours,
    counter: pair(new Counter(of('a', [])), new SheetCounter(sheet, sum, of('a', []))),
    counters: pair(new Counter(of('b', labelNames)), new SheetCounter(sheet, sum, of('b', labelNames))),
    gauge: pair(new Gauge(of('c', [])), new SheetGauge(sheet, sum, of('c', []), 'sum')),
    gauges: pair(new Gauge(of('d', ['code'])), new SheetGauge(sheet, sum, of('d', ['code']), 'min')),
    histogram: pair(new Histogram({ ...of('e', []), buckets }), new SheetHistogram(sheet, sum, of('e', []), buckets)),
    histograms: pair(
      new Histogram({ ...of('f', labelNames), buckets }),
      new SheetHistogram(sheet, sum, of('f', labelNames), buckets),
    ),
  };
}

const amount = fc.double({ min: 0, max: 1e9, noNaN: true });
const observed = fc.oneof(amount, fc.constantFrom(...buckets, 0, 2.500001));
const text = fc.oneof(fc.constantFrom('GET', '200', '', '__proto__', 'a"b\\\n'), fc.string({ maxLength: 3 }));
const operation = fc.oneof(
  fc.record({ on: fc.constant('counter' as const), n: fc.option(amount) }),
  fc.record({ on: fc.constant('counters' as const), method: text, code: text, n: fc.option(amount) }),
  fc.record({ on: fc.constant('gauge' as const), how: fc.constantFrom('inc', 'dec', 'set'), n: amount }),
  fc.record({ on: fc.constant('gauges' as const), how: fc.constantFrom('inc', 'dec', 'set'), code: text, n: amount }),
  fc.record({ on: fc.constant('histogram' as const), n: observed }),
  fc.record({ on: fc.constant('histograms' as const), method: text, code: text, n: observed }),
);

test('whatever is counted, it is rendered as prom-client renders it, character by character', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { maxLength: 60 }), async (operations) => {
      const families = twice();
      for (const each of operations) {
        switch (each.on) {
          case 'counter':
            for (const family of families.counter) each.n === null ? family.inc() : family.inc(each.n);
            break;
          case 'counters': {
            const labels = { method: each.method, code: each.code };
            for (const family of families.counters as readonly unknown[] as Labelled[]) {
              each.n === null ? family.inc(labels) : family.inc(labels, each.n);
            }
            break;
          }
          case 'gauge':
            for (const family of families.gauge) family[each.how as 'set'](each.n);
            break;
          case 'gauges':
            for (const family of families.gauges)
              (family as unknown as Labelled)[each.how as 'set']({ code: each.code }, each.n);
            break;
          case 'histogram':
            for (const family of families.histogram) family.observe(each.n);
            break;
          case 'histograms':
            for (const family of families.histograms) {
              (family as unknown as Labelled).observe({ code: each.code, method: each.method }, each.n);
            }
        }
      }
      assert.equal(sorted(await families.ours.metrics()), sorted(await families.theirs.metrics()));
    }),
    { numRuns: 150 },
  );
});

/** prom-client shows labels in the order of the call; the families here in the order of their names. */
function sorted(text: string): string {
  const inOrder = (labels: string) =>
    labels.replace(/(le="[^"]*",)?(code="(?:[^"\\]|\\.)*"),(method="(?:[^"\\]|\\.)*")/, '$1$3,$2');
  return text.split('\n').map(inOrder).join('\n');
}

test('amounts that would spoil a count and calls without their labels are refused', () => {
  const { counter, counters, gauges, histogram, histograms } = twice();
  for (const wrong of [-1, Number.NaN, Number.POSITIVE_INFINITY]) {
    assert.throws(() => counter[1].inc(wrong), RangeError);
    assert.throws(() => counters[1].inc({ method: 'GET', code: '200' }, wrong), RangeError);
    assert.throws(() => histogram[1].observe(wrong), RangeError);
  }
  assert.throws(() => counters[1].inc(), TypeError);
  assert.throws(() => counters[1].inc({ method: 'GET' }), TypeError);
  assert.throws(() => gauges[1].set(1), TypeError);
  assert.throws(() => histograms[1].observe(1), TypeError);
});
