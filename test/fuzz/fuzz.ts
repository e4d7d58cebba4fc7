/**
 * Fuzzes the parsers of the fast path, from the stored corpus on, and stores what was new.
 *
 *   npm run fuzz -- --seconds 60 [--seed 1]
 */
import { parseArgs } from 'node:util';
import { loadCorpus, storeCorpus, storeInput } from './support/corpus.ts';
import { Coverage } from './support/coverage.ts';
import { Fuzzer, FuzzFailure } from './support/fuzzer.ts';
import { loadTargets } from './support/targets.ts';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 32) },
  },
});
const seed = Number(values.seed);
const coverage = new Coverage('/src/http1/');
const targets = await loadTargets();

for (const target of targets) {
  const fuzzer = new Fuzzer(target, coverage, seed);
  try {
    await fuzzer.replay([...target.seeds.map((text) => Buffer.from(text, 'latin1')), ...loadCorpus(target.name)]);
    await fuzzer.fuzz({ inputs: Number.POSITIVE_INFINITY, time: (Number(values.seconds) * 1000) / targets.length });
  } catch (error) {
    if (!(error instanceof FuzzFailure)) throw error;
    console.error(`${error.message}\nstored as ${storeInput(target.name, error.input)}`);
    process.exitCode = 1;
    continue;
  }
  storeCorpus(target.name, fuzzer.corpus);
  console.log(
    `${target.name}: ${fuzzer.tried} inputs, ${fuzzer.features} features, ${fuzzer.corpus.length} kept, seed ${seed}`,
  );
}
coverage.close();
