import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  CopyReader,
  createMetrics,
  type Metrics,
  openSheetFiles,
  type Reading,
  Sheet,
  type SheetFiles,
} from '../../../src/observe/index.ts';
import { metricOf, valuesOf } from '../../support/swivel.ts';

/** A worker in this process: its metrics, and what its primary reads. */
class Worker {
  readonly sheet: Sheet;
  readonly metrics: Metrics;
  readonly files: SheetFiles | null;
  readonly copies = new CopyReader();
  failing = false;
  gauge = 0;
  readonly targets = new Map<string, number>();

  constructor(withFiles: boolean) {
    this.files = withFiles ? openSheetFiles() : null;
    this.sheet = new Sheet(this.files ?? undefined);
    this.metrics = createMetrics({ version: 'test', sheet: this.sheet });
  }

  read(): Reading {
    if (this.failing) throw new Error('not now');
    this.sheet.flush();
    if (this.files) return this.files.reader.read();
    this.copies.accept(structuredClone(this.sheet.read()));
    return this.copies.read();
  }

  close(): void {
    this.sheet.close();
    this.files?.close();
  }
}

const label = fc.integer({ min: 0, max: 40 }).map(String);
const step = fc.oneof(
  { weight: 2, arbitrary: fc.record({ what: fc.constant('start' as const), withFiles: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ what: fc.constant('retire' as const), who: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ what: fc.constant('fail' as const), who: fc.nat() }) },
  {
    weight: 10,
    arbitrary: fc.record({ what: fc.constant('count' as const), who: fc.nat(), label, n: fc.nat({ max: 9 }) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      what: fc.constant('target' as const),
      who: fc.nat(),
      label: fc.constantFrom('x', 'y'),
      n: fc.constantFrom(0, 1),
    }),
  },
  {
    // Enough new series to outgrow the first array.
    weight: 1,
    arbitrary: fc.record({ what: fc.constant('grow' as const), who: fc.nat(), n: fc.integer({ min: 1, max: 300 }) }),
  },
);

test('sums over processes that come, fail to answer, grow and go are those of a model', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 50 }), async (steps) => {
      const primary = createMetrics({ version: 'test' });
      const live = new Map<number, Worker>();
      const counted = new Map<string, number>();
      const durations = { count: 0, sum: 0 };
      const add = (key: string, n: number) => counted.set(key, (counted.get(key) ?? 0) + n);
      const pick = (who: number) => [...live][who % Math.max(1, live.size)] ?? [0, undefined];
      try {
        for (const [id, each] of steps.entries()) {
          if (each.what === 'start') {
            const worker = new Worker(each.withFiles);
            live.set(id, worker);
            primary.sheets.attach(id, worker);
            continue;
          }
          const [chosen, worker] = pick(each.who);
          if (!worker) continue;
          switch (each.what) {
            case 'retire':
              primary.sheets.retire(chosen);
              primary.sheets.retire(chosen);
              live.delete(chosen);
              worker.close();
              break;
            case 'fail': {
              const before = await primary.registry.metrics();
              worker.failing = true;
              assert.equal(await primary.registry.metrics(), before);
              worker.failing = false;
              break;
            }
            case 'target':
              worker.metrics.upstreamTargetHealthy.set({ upstream: 'u', target: each.label }, each.n);
              worker.targets.set(each.label, each.n);
              break;
            case 'grow':
              for (let i = 0; i < each.n; i++) worker.metrics.certificateRefusals.inc({ certificate: `${id}-${i}` });
              for (let i = 0; i < each.n; i++) add(`${id}-${i}`, 1);
              break;
            default:
              worker.metrics.certificateRefusals.inc({ certificate: each.label }, each.n);
              add(each.label, each.n);
              worker.metrics.requestsInFlight.set(each.n);
              worker.gauge = each.n;
              worker.metrics.upstreamRequestDuration.observe({ upstream: 'u' }, each.n);
              durations.count += 1;
              durations.sum += each.n;
          }
        }
        assert.deepEqual(await valuesOf(primary.certificateRefusals), Object.fromEntries(counted));
        const inFlight = [...live.values()].reduce((sum, { gauge }) => sum + gauge, 0);
        assert.equal(await metricOf(primary.requestsInFlight), inFlight);
        const healthy: Record<string, number> = {};
        for (const { targets } of live.values()) {
          for (const [target, n] of targets) healthy[`u,${target}`] = Math.min(healthy[`u,${target}`] ?? 1, n);
        }
        assert.deepEqual(await valuesOf(primary.upstreamTargetHealthy), healthy);
        const { values } = await primary.upstreamRequestDuration.get();
        const last = Object.fromEntries(values.map(({ metricName, value }) => [metricName, value]));
        assert.equal(last['swivel_upstream_request_duration_seconds_count'] ?? 0, durations.count);
        assert.equal(last['swivel_upstream_request_duration_seconds_sum'] ?? 0, durations.sum);
      } finally {
        for (const worker of live.values()) worker.close();
      }
    }),
    { numRuns: 60 },
  );
});

test('the last good reading of a process counts while it cannot be read, and also when that stays so to its end', async () => {
  const primary = createMetrics({ version: 'test' });
  const worker = new Worker(false);
  primary.sheets.attach(1, worker);
  worker.metrics.connections.inc(3);
  worker.metrics.requestsInFlight.inc();
  assert.equal(await metricOf(primary.connections), 3);
  worker.failing = true;
  worker.metrics.connections.inc();
  assert.deepEqual([await metricOf(primary.connections), await metricOf(primary.requestsInFlight)], [3, 1]);
  primary.sheets.retire(1);
  assert.deepEqual([await metricOf(primary.connections), await metricOf(primary.requestsInFlight)], [3, 0]);
});

test('the sum of a histogram does not lose its last digit when a process goes', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.double({ min: 0, max: 10, noNaN: true }), { minLength: 3 }), async (values) => {
      const primary = createMetrics({ version: 'test' });
      const sum = async () => (await primary.requestDuration.get()).values.at(-2)?.value ?? Number.NaN;
      let before = 0;
      for (const [id, value] of values.entries()) {
        const worker = new Worker(false);
        worker.metrics.requestDuration.observe(value);
        primary.sheets.attach(id, worker);
      }
      for (const id of values.keys()) {
        const now = await sum();
        assert.ok(now >= before, `${now} after ${before}`);
        before = now;
        primary.sheets.retire(values.length - 1 - id);
      }
    }),
  );
});

test('an id that is used again keeps what the one before counted', async () => {
  const primary = createMetrics({ version: 'test' });
  for (let i = 0; i < 3; i++) {
    const worker = new Worker(false);
    primary.sheets.attach(1, worker);
    worker.metrics.connections.inc();
  }
  assert.equal(await metricOf(primary.connections), 3);
});

test('series of another version of the program, which this one does not know or knows otherwise, are left out', async () => {
  const primary = createMetrics({ version: 'test' });
  const other = new Sheet();
  primary.sheets.attach(1, other);
  for (const [family, labels, slots] of [
    ['swivel_no_such_thing_total', [], 1],
    ['swivel_request_duration_seconds', [], 5],
    ['swivel_connections_total', ['GET'], 1],
  ] as const) {
    other.add(other.open(family, labels, slots), 1);
  }
  const shown = createMetrics({ version: 'test' });
  assert.equal(await primary.registry.metrics(), await shown.registry.metrics());
});

test('two scrapes in a row see what was counted between them', async () => {
  const { connections } = createMetrics({ version: 'test' });
  const first = connections.get();
  connections.inc();
  assert.equal((await first).values[0]?.value, 0);
  assert.equal((await connections.get()).values[0]?.value, 1);
});
