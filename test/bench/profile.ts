/**
 * Where Swivel spends its time in one scenario of the benchmark (see bench.ts): the functions with the most time of their own.
 *
 *     npm run bench:profile -- keep-alive-1k [--seconds 5] [--top 40] [--keep DIRECTORY]
 *
 * Start and warm-up are in the profile too. `--keep` leaves the `.cpuprofile` there, for a browser's developer tools.
 */
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { swivel } from './peers/swivel.ts';
import { everyScenario } from './scenarios/index.ts';
import { runScenario } from './suite/run.ts';
import { Stage } from './suite/stage.ts';

/** Threads that did less are of no interest. */
const LEAST_MICROSECONDS = 200_000;

/** What `--cpu-prof` writes (the Profile type of the DevTools protocol), as far as it is used. */
interface Profile {
  nodes: { id: number; callFrame: { functionName: string; url: string; lineNumber: number } }[];
  samples: number[];
  timeDeltas: number[];
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
process.exitCode = await main();

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      seconds: { type: 'string', default: '5' },
      top: { type: 'string', default: '40' },
      keep: { type: 'string' },
    },
  });
  const scenario = everyScenario.find(({ name }) => name === positionals[0]);
  if (!scenario) {
    console.error(`name a scenario: ${everyScenario.map(({ name }) => name).join(', ')}`);
    return 2;
  }
  const directory = mkdtempSync(join(tmpdir(), 'profile-'));
  process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
  const profiles = join(directory, 'profiles');
  mkdirSync(profiles);
  process.env['SWIVEL_NODE_FLAGS'] = `--cpu-prof --cpu-prof-dir=${profiles}`;
  const amounts = { seconds: Number(values.seconds), idleConnections: 10_000, certificates: 10_000 };
  const stage = await Stage.build({ directory, ...amounts });
  try {
    const { rounds, failed } = await runScenario(scenario, [swivel], 1, stage);
    console.log(rounds[swivel.name]?.[0] ?? failed);
  } finally {
    await stage.close();
  }
  if (values.keep !== undefined) cpSync(profiles, values.keep, { recursive: true });
  for (const file of readdirSync(profiles))
    print(JSON.parse(readFileSync(join(profiles, file), 'utf8')) as Profile, Number(values.top));
  return 0;
}

function print({ nodes, samples, timeDeltas }: Profile, top: number): void {
  const places = new Map(
    nodes.map(({ id, callFrame: { functionName, url, lineNumber } }) => {
      const file = url.replace(/^file:\/\//, '').replace(/^.*\/(?=src\/|node_modules\/)/, '');
      return [id, `${functionName || '(anonymous)'}${file && `  ${file}:${lineNumber + 1}`}`];
    }),
  );
  const times = new Map<string, number>();
  for (const [index, id] of samples.entries()) {
    const place = places.get(id) ?? '';
    times.set(place, (times.get(place) ?? 0) + (timeDeltas[index] ?? 0));
  }
  times.delete('(idle)');
  const total = [...times.values()].reduce((sum, time) => sum + time, 0);
  if (total < LEAST_MICROSECONDS) return;
  console.log(`\n${(total / 1e6).toFixed(2)} s of work; share, milliseconds`);
  for (const [place, time] of [...times].sort(([, a], [, b]) => b - a).slice(0, top))
    console.log(
      `${((100 * time) / total).toFixed(1).padStart(5)} %  ${(time / 1000).toFixed(0).padStart(6)}  ${place}`,
    );
}
