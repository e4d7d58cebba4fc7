/**
 * What a second worker is worth, and what workers cost in memory:
 *
 *     node test/bench/workers.ts [--rounds 5] [--json]
 *
 * Swivel with one process and with a primary and two workers, before the same upstream, under the same load, in turn.
 * Clients and upstream need the processor too, so that on two cores the rates themselves cannot double. Compared are
 * capacities: how much the workers would carry with a core for each, from the processor time that they (and the primary)
 * have used for what they did carry (see `WorkersSample`). A second of processor time is worth less when all processors
 * of the machine are busy (caches, memory, wake-ups across processors), and with two workers they all are. So the one
 * process is measured beside a second, independent one; alone, it is shown for comparison. Figures are medians over the
 * quieter half of the rounds, those in which other processes took least of the machine.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { forkUpstream } from '../support/load/upstream.ts';
import { createAuthority } from '../support/pki.ts';
import {
  type MemoryOfAll,
  measureWorkers,
  SwivelUnderLoad,
  summarizeWorkers,
  type WorkersSample,
} from './measure-workers.ts';
import { findGenerator, type Generate, type Trial } from './support/generate.ts';
import { quietest } from './support/proc.ts';

/** Enough clients that a worker always has something to do. Processor time is counted in ticks of 10 ms. */
const loads: Record<string, Trial & { target: number }> = {
  handshakes: { kind: 'fresh', clients: 64, seconds: 2, target: 1.8 },
  'keep-alive requests': { kind: 'keep-alive', clients: 64, seconds: 2, target: 1.7 },
};
const memoryWith = [1, 2, 8];

interface Comparison {
  /** One process, alone. */
  one: WorkersSample;
  /** Two processes that know nothing of each other, each with half of the clients; their capacities added up. */
  apart: WorkersSample;
  /** A primary and two workers. */
  two: WorkersSample;
  ratio: {
    /** Capacity of two workers to that of one process, while other processes fill the rest of the machine either way. */
    capacity: number;
    /** The same to that of one process alone, which has a processor for itself. */
    alone: number;
    /** As `capacity`, with the connections as they lay. */
    busiest: number;
    /** Of the raw rates, to one process alone. */
    rate: number;
  };
}
/** By number of workers, when nothing was asked of them yet and right after a short load (with what it left to collect). */
type MemoryByWorkers = Record<number, { idle: MemoryOfAll; loaded: MemoryOfAll }>;

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
process.exitCode = await main();

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { rounds: { type: 'string', default: '5' }, json: { type: 'boolean', default: false } },
  });
  const rounds = Number(values.rounds);
  if (!(rounds > 0)) {
    console.error('cannot measure that: rounds is a number from 1');
    return 2;
  }
  const directory = mkdtempSync(join(tmpdir(), 'workers-'));
  process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
  const { name: generator, generate } = await findGenerator(directory);
  const authority = await createAuthority();
  const upstream = await forkUpstream();
  const start = (workers: number, name?: string) =>
    SwivelUnderLoad.start(workers, upstream.port, authority, directory, name);
  try {
    const comparisons = await compare(rounds, start, generate, upstream.pid === undefined ? [] : [upstream.pid]);
    const memory: MemoryByWorkers = {};
    for (const workers of memoryWith) {
      console.error(`memory with ${workers}`);
      memory[workers] = await memoryAfterLoad(await start(workers), generate);
    }
    if (values.json) console.log(JSON.stringify({ generator, rounds, loads, comparisons, memory }, null, 2));
    else print(generator, comparisons, memory);
  } finally {
    await upstream.close();
  }
  return 0;
}

async function compare(
  rounds: number,
  start: (workers: number, name: string) => Promise<SwivelUnderLoad>,
  generate: Generate,
  helpers: readonly number[],
): Promise<Record<string, Comparison>> {
  const running: SwivelUnderLoad[] = [];
  try {
    for (const name of ['one', 'another', 'two']) running.push(await start(name === 'two' ? 2 : 1, name));
    // Compiles the hot code, so that the first round is like the others.
    for (const swivel of running) await warm(swivel, generate);
    const arrangements = [running.slice(0, 1), running.slice(0, 2), running.slice(2)];
    const samples = new Map(Object.keys(loads).map((name) => [name, [] as WorkersSample[][]]));
    for (let round = 1; round <= rounds; round++) {
      console.error(`round ${round} of ${rounds}`);
      for (const [name, load] of Object.entries(loads)) {
        const ofRound: WorkersSample[] = [];
        for (const swivels of arrangements) ofRound.push(await measureWorkers(swivels, load, generate, helpers));
        samples.get(name)?.push(ofRound);
      }
    }
    return Object.fromEntries([...samples].map(([name, list]) => [name, comparisonOf(list)]));
  } finally {
    await Promise.all(running.map((swivel) => swivel.stop()));
  }
}

function comparisonOf(samples: readonly WorkersSample[][]): Comparison {
  const rounds = samples.flatMap(([one, apart, two]) =>
    one && apart && two ? [{ one, apart, two, neighbours: one.neighbours + apart.neighbours + two.neighbours }] : [],
  );
  const quiet = quietest(rounds);
  const one = summarizeWorkers(quiet.map((round) => round.one));
  const apart = summarizeWorkers(quiet.map((round) => round.apart));
  const two = summarizeWorkers(quiet.map((round) => round.two));
  const capacityOfOne = apart.capacity / 2;
  return {
    one,
    apart,
    two,
    ratio: {
      capacity: two.capacity / capacityOfOne,
      alone: two.capacity / one.capacity,
      busiest: two.capacityOfBusiest / capacityOfOne,
      rate: two.rate / one.rate,
    },
  };
}

async function memoryAfterLoad(swivel: SwivelUnderLoad, generate: Generate): Promise<MemoryByWorkers[number]> {
  try {
    const idle = swivel.memory();
    await warm(swivel, generate);
    return { idle, loaded: swivel.memory() };
  } finally {
    await swivel.stop();
  }
}

async function warm({ target }: SwivelUnderLoad, generate: Generate): Promise<void> {
  for (const { kind, clients } of Object.values(loads)) await generate({ kind, clients, seconds: 1, target });
}

function print(generator: string, comparisons: Record<string, Comparison>, memory: MemoryByWorkers): void {
  console.log(`Load by ${generator}. Capacity: what the workers would carry a second with a core for each.`);
  for (const [name, { one, apart, two, ratio }] of Object.entries(comparisons)) {
    const wanted = loads[name]?.target ?? 0;
    const verdict = ratio.capacity >= wanted ? 'reached' : 'missed';
    console.log(
      `\n${name}: two workers carry ${round(ratio.capacity, 100)} times as much as one (${wanted}: ${verdict})`,
    );
    const others = {
      'with the connections as they lay': ratio.busiest,
      'to one alone': ratio.alone,
      'raw rate': ratio.rate,
    };
    console.log(
      Object.entries(others)
        .map(([what, value]) => `${what} ${round(value, 100)}`)
        .join(', '),
    );
    console.table({ '1 process': rowOf(one), '2 processes apart': rowOf(apart), '2 workers': rowOf(two) });
  }
  console.log('\nMemory in MiB, idle and right after a short load');
  console.table(
    Object.fromEntries(
      Object.entries(memory).map(([workers, { idle, loaded }]) => [
        `${workers} workers`,
        {
          'RSS, all': pair(idle.total.rss, loaded.total.rss),
          'PSS, all': pair(idle.total.pss, loaded.total.pss),
          'RSS, a worker': pair(idle.worker.rss, loaded.worker.rss),
          'PSS, a worker': pair(idle.worker.pss, loaded.worker.pss),
        },
      ]),
    ),
  );
}

function pair(idle: number, loaded: number): string {
  return `${Math.round(idle)}, ${Math.round(loaded)}`;
}

function rowOf(sample: WorkersSample) {
  return {
    'per second': round(sample.rate, 1),
    'CPU µs': round(sample.cpuMicroseconds, 10),
    capacity: round(sample.capacity, 1),
    'by the busiest': round(sample.capacityOfBusiest, 1),
    'busiest worker': `${Math.round(sample.busiest * 100)} %`,
    failed: sample.failed,
    'taken by others': `${Math.round(sample.neighbours * 100)} %`,
  };
}

function round(value: number, precision: number): number {
  return Math.round(value * precision) / precision;
}
