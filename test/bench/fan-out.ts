/**
 * How the connections to one port are best spread over processes of Node.js, side by side:
 *
 *     node test/bench/fan-out.ts [--rounds 3] [--workers 2] [--json]
 *
 * Plain `node:https` servers, 1 KiB answers, ECDSA P-256. All ways are measured in every round, in turn; the figures are
 * medians over the quieter half of the rounds, those in which other processes took least of the machine.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createAuthority } from '../support/pki.ts';
import { descriptions, type Way, ways } from './fan-out-types.ts';
import { addDisturbances, type Disturbance, FanOutServer, type Sample, summarizeSamples } from './measure-fan-out.ts';
import { findGenerator, type Trial } from './support/generate.ts';

/** Processor time is counted in ticks of 10 ms, so a trial takes a second at least. */
const trials: Record<string, Trial> = {
  handshakes: { kind: 'fresh', clients: 32, seconds: 1 },
  'keep-alive 8': { kind: 'keep-alive', clients: 8, seconds: 1 },
  'keep-alive 32': { kind: 'keep-alive', clients: 32, seconds: 1 },
  'keep-alive 128': { kind: 'keep-alive', clients: 128, seconds: 1 },
};
const DISTURBANCE_CLIENTS = 64;
const DISTURBANCE_SECONDS = 2;

interface Result {
  way: Way;
  trials: Record<string, Sample>;
  /** Workers killed with SIGKILL, and ended gracefully once their successor listened. */
  kill: Disturbance;
  replace: Disturbance;
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
process.exitCode = await main();

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '3' },
      workers: { type: 'string', default: '2' },
      json: { type: 'boolean', default: false },
    },
  });
  const rounds = Number(values.rounds);
  const workers = Number(values.workers);
  if (!(rounds > 0) || !(workers > 0)) {
    console.error('cannot measure that: rounds and workers are numbers from 1');
    return 2;
  }
  const directory = mkdtempSync(join(tmpdir(), 'fan-out-'));
  process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
  const { name: generator, generate } = await findGenerator(directory);
  const authority = await createAuthority();
  const servers: FanOutServer[] = [];
  try {
    for (const way of ways) servers.push(await FanOutServer.start(way, workers, authority));
    // Compiles the hot code, so that the first round is like the others.
    for (const server of servers) {
      for (const kind of ['fresh', 'keep-alive'] as const) {
        await generate({ kind, clients: 32, seconds: 1, target: server.target });
      }
    }
    const results = servers.map((server) => ({ server, samples: samplesOf(trials), kill: none(), replace: none() }));
    for (let round = 1; round <= rounds; round++) {
      console.error(`round ${round} of ${rounds}`);
      for (const [name, trial] of Object.entries(trials)) {
        for (const { server, samples } of results) samples.get(name)?.push(await server.measure(trial, generate));
      }
      for (const order of ['kill', 'replace'] as const) {
        for (const result of results) {
          const more = await result.server.disturb(order, DISTURBANCE_CLIENTS, DISTURBANCE_SECONDS, generate);
          result[order] = addDisturbances(result[order], more);
        }
      }
    }
    const summary = results.map(({ server, samples, kill, replace }) => {
      const medians = [...samples].map(([name, list]) => [name, summarizeSamples(list)] as const);
      return { way: server.way, trials: Object.fromEntries(medians), kill, replace };
    });
    if (values.json) console.log(JSON.stringify({ generator, rounds, workers, trials, results: summary }, null, 2));
    else print(generator, summary);
  } finally {
    await Promise.all(servers.map((server) => server.stop()));
  }
  return 0;
}

function samplesOf(all: Record<string, Trial>): Map<string, Sample[]> {
  return new Map(Object.keys(all).map((name) => [name, []]));
}

function none(): Disturbance {
  return { times: 0, requests: 0, failed: 0 };
}

function print(generator: string, results: readonly Result[]): void {
  console.log(`Load by ${generator}. CPU: microseconds of all server processes for each connection or request.`);
  for (const name of Object.keys(trials)) {
    console.log(`\n${name}`);
    const rows = results.map(({ way, trials: byTrial }) => [way, byTrial[name] && rowOf(byTrial[name])]);
    console.table(Object.fromEntries(rows));
  }
  console.log(`\nRequests that failed, of new connections by ${DISTURBANCE_CLIENTS} clients`);
  console.table(
    Object.fromEntries(
      results.map(({ way, kill, replace }) => [
        way,
        {
          'for each kill -9': perTime(kill),
          kills: kill.times,
          'for each replacement': perTime(replace),
          replacements: replace.times,
        },
      ]),
    ),
  );
  for (const { way } of results) console.log(`${way}: ${descriptions[way]}`);
}

function rowOf(sample: Sample) {
  return {
    'per second': Math.round(sample.rate),
    'CPU µs': Math.round(sample.cpuMicroseconds * 10) / 10,
    'busiest, connections': percent(sample.busiestOfConnections),
    'busiest, requests': percent(sample.busiestOfRequests),
    resumed: sample.resumed,
    failed: sample.failed,
    'taken by others': percent(sample.neighbours),
  };
}

function perTime({ failed, times }: Disturbance): number {
  return Math.round((failed / times) * 10) / 10;
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}
