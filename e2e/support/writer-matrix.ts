import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { Load, summarize } from '../../test/support/load/load.ts';
import { forkUpstream } from '../../test/support/load/upstream.ts';
import { RotationCell } from './rotation-cell.ts';
import { type RunningSwivel, startSwivel } from './swivel.ts';
import { type Chain, Visitor } from './visit.ts';

/** How often every certificate is changed. */
export const rotations = 20;
/** Jobs that are at work at a time: enough to change many at once, few enough that times mean something on two processors. */
const atATime = 8;

/** What stands at one place of the table, made ready before Swivel starts. */
export interface Place {
  readonly row: string;
  readonly column: string;
  readonly host: string;
  /** Its entry in the configuration. */
  readonly entry: object;
  /** What lies on disk at the beginning. */
  readonly served: Chain;
}

/** A part of the table that is worked through by itself, at the same time as others. */
export interface Job {
  readonly places: readonly Place[];
  /** Makes all changes. @param cells one for each place */
  run(cells: readonly RotationCell[], swivel: RunningSwivel): Promise<void>;
}

export interface MatrixOptions {
  /** PEM of all authorities that visitors trust. */
  readonly ca: string;
  readonly watch: object;
  readonly wrap?: readonly string[];
  /** How many of the names are under load all the time, besides the visits that all of them get. */
  readonly loads: number;
}

/** Writers and sources against each other: what came of every pair. */
export class Table {
  readonly #rows = new Map<string, Map<string, string>>();

  set(row: string, column: string, text: string): void {
    const cells = this.#rows.get(row) ?? new Map<string, string>();
    this.#rows.set(row, cells.set(column, text));
  }

  /** The lines of the table; `-` where a writer and a source do not go together. */
  lines(columns: readonly string[]): string[] {
    const head = ['', ...columns];
    const body = [...this.#rows].map(([row, cells]) => [row, ...columns.map((column) => cells.get(column) ?? '-')]);
    const widths = head.map((_, i) => Math.max(...[head, ...body].map((line) => line[i]?.length ?? 0)));
    return [head, ...body].map((line) =>
      line
        .map((text, i) => text.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    );
  }
}

/** A directory of its own for one place. */
export async function directoryFor(base: string, stem: string): Promise<string> {
  await mkdir(join(base, stem));
  return join(base, stem, 'certs');
}

/** Serves all places from one Swivel, works through the jobs under load, and holds what was seen against what is promised. */
export async function runMatrix(
  t: TestContext,
  jobs: readonly Job[],
  table: Table,
  options: MatrixOptions,
): Promise<void> {
  const began = performance.now();
  const upstream = await forkUpstream();
  t.after(() => upstream.close());
  const places = jobs.flatMap((job) => job.places);
  const certificates = places.map(({ entry }) => entry);
  const swivel = await startSwivel(t, {
    config: { certificates, watch: options.watch },
    upstream: upstream.url,
    ...(options.wrap ? { wrap: options.wrap } : {}),
  });
  const visitor = new Visitor(swivel.port, options.ca);
  const cells = new Map(places.map((place) => [place, new RotationCell(place.host, visitor, place.served)]));
  const loads = await startLoads(t, swivel, options, places);

  await inParallel(jobs, atATime, (job) =>
    job.run(
      job.places.map((place) => cells.get(place) as RotationCell),
      swivel,
    ),
  );

  const reports = await Promise.all(loads.map((load) => load.stop()));
  const seconds = Math.round((performance.now() - began) / 1000);
  const requests = reports.reduce((sum, report) => sum + report.requests, 0);
  for (const [{ row, column }, cell] of cells) table.set(row, column, String(cell));
  t.diagnostic(`${seconds} s, ${visitor.visits} visits with a full handshake, ${requests} requests of the load`);

  for (const [place, cell] of cells) {
    assert.deepEqual(cell.faults, []);
    assert.equal(cell.missed, 0, `${place.row}, ${place.column}: rotations that were never served`);
    const told = swivel.process.lines.filter(
      ({ event, names }) => event === 'rotation' && String(names) === place.host,
    );
    assert.equal(told.length, cell.rotations, `${place.row}, ${place.column}: rotations in the log`);
  }
  for (const report of reports) assert.deepEqual(summarize(report), {});
  const { certificates: states, conditions } = await swivel.status();
  const wrong = states.filter(({ state, diskMatchesServed }) => state !== 'serving' || !diskMatchesServed);
  assert.deepEqual(wrong, [], 'nothing stays rejected');
  assert.equal(states.length, places.length);
  assert.equal(conditions.find(({ type }) => type === 'DiskInSync')?.status, 'True');
}

async function startLoads(
  t: TestContext,
  { port }: RunningSwivel,
  { ca, loads }: MatrixOptions,
  places: readonly Place[],
): Promise<Load[]> {
  const step = Math.max(1, Math.floor(places.length / loads));
  const chosen = places.filter((_, i) => i % step === 0).slice(0, loads);
  return Promise.all(
    chosen.map(async ({ host }) => {
      const target = { port, servername: host, ca };
      const clients = { keepAliveClients: 8, freshPerSecond: 4, http2Connections: 2, webSockets: 2, downloadBytes: 0 };
      const load = new Load({ target, ...clients, thinkMs: 500, http2ThinkMs: 500 });
      t.after(() => load.abandon());
      await load.start();
      return load;
    }),
  );
}

/** Works through tasks, some at a time, in their order. */
async function inParallel<T>(tasks: readonly T[], limit: number, work: (task: T) => Promise<void>): Promise<void> {
  const rest = tasks.values();
  const worker = async () => {
    for (const task of rest) await work(task);
  };
  await Promise.all(Array.from({ length: limit }, worker));
}
