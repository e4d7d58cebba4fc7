/**
 * Swivel beside its peers, the same load on each in turn, and what it has to reach:
 *
 *     npm run bench -- [--scenarios a,b] [--peers a,b] [--rounds 5] [--seconds 3] [--json FILE] [--markdown]
 *         [--connections 10000] [--certificates 10000]
 *
 * The proxy has one processor to itself, load and upstream another. Processor time is that of all processes of the proxy;
 * figures are medians of the rounds, ratios are taken within a round and shown with their spread. What was measured while the
 * machine was slowed by others is measured again, up to three times. A wrong answer fails
 * the run. `SWIVEL_MAIN=/path/to/src/main.ts` measures another checkout of Swivel.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { everyPeer } from './peers/index.ts';
import type { Peer } from './peers/types.ts';
import { everyScenario } from './scenarios/index.ts';
import { type Evaluation, evaluate } from './suite/evaluate.ts';
import { printScenario, toMarkdown } from './suite/print.ts';
import { runScenario, type ScenarioResult } from './suite/run.ts';
import { Stage } from './suite/stage.ts';

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(1));
process.exitCode = await main();

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      scenarios: { type: 'string', default: everyScenario.map(({ name }) => name).join(',') },
      peers: { type: 'string', default: everyPeer.map(({ name }) => name).join(',') },
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '3' },
      json: { type: 'string' },
      connections: { type: 'string', default: '10000' },
      certificates: { type: 'string', default: '10000' },
      markdown: { type: 'boolean', default: false },
    },
  });
  const scenarios = chosen(everyScenario, values.scenarios);
  const wanted = chosen(everyPeer, values.peers);
  const [rounds, seconds] = [Number(values.rounds), Number(values.seconds)];
  const [idleConnections, certificates] = [Number(values.connections), Number(values.certificates)];
  if (!scenarios || !wanted || !(rounds >= 1) || !(seconds >= 1) || !Number.isInteger(seconds)) {
    console.error('cannot measure that: rounds and (whole) seconds are numbers from 1;');
    console.error(`peers are ${namesOf(everyPeer)}; scenarios are ${namesOf(everyScenario)}`);
    return 2;
  }

  const { peers, versions } = await installed(wanted);
  const directory = mkdtempSync(join(tmpdir(), 'bench-'));
  process.on('exit', () => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }));
  const stage = await Stage.build({ directory, seconds, idleConnections, certificates });
  const results: ScenarioResult[] = [];
  const evaluations: Evaluation[] = [];
  const machine = { cpu: cpus()[0]?.model, cpus: cpus().length, kernel: release(), pinning: stage.processors.note };
  const notes = `${Object.entries(versions)
    .map((pair) => pair.join(' '))
    .join(', ')}; ${stage.processors.note}; medians of ${rounds} rounds of ${seconds} s.`;
  console.error(notes);
  try {
    for (const scenario of scenarios) {
      console.error(`${scenario.name}: ${scenario.title}`);
      const result = await runScenario(scenario, peers, rounds, stage);
      const evaluation = evaluate(scenario, result);
      results.push(result);
      evaluations.push(evaluation);
      if (!values.markdown) printScenario(scenario, evaluation);
    }
  } finally {
    await stage.close();
  }
  if (values.markdown) console.log(toMarkdown(scenarios, evaluations, notes));
  if (values.json !== undefined) {
    const report = { machine, versions, rounds, seconds, evaluations, results };
    writeFileSync(values.json, `${JSON.stringify(report, null, 2)}\n`);
  }
  return results.some(({ failed }) => Object.keys(failed).length > 0) ? 1 : 0;
}

async function installed(wanted: readonly Peer[]): Promise<{ peers: Peer[]; versions: Record<string, string> }> {
  const peers: Peer[] = [];
  const versions: Record<string, string> = {};
  for (const peer of wanted) {
    const found = await peer.find();
    if ('skipped' in found) {
      console.error(`${peer.name}: skipped, ${found.skipped}`);
      continue;
    }
    peers.push(peer);
    versions[peer.name] = found.version;
  }
  return { peers, versions };
}

/** Those that a list names, in their own order; undefined when it names one that does not exist. */
function chosen<T extends { readonly name: string }>(all: readonly T[], list: string): T[] | undefined {
  const names = list.split(',');
  if (names.some((name) => !all.some((one) => one.name === name))) return undefined;
  return all.filter(({ name }) => names.includes(name));
}

function namesOf(all: readonly { readonly name: string }[]): string {
  return all.map(({ name }) => name).join(', ');
}
