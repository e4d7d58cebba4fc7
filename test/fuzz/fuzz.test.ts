import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { loadCorpus, storeInput } from './support/corpus.ts';
import { Coverage } from './support/coverage.ts';
import { Fuzzer, FuzzFailure } from './support/fuzzer.ts';
import { loadTargets } from './support/targets.ts';

const bounded = { timeout: 60_000 };
/** For each parser; whichever is reached first. */
const bounds = { inputs: 1500, time: 200 };
const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 2 ** 32);

describe('the parsers of the fast path, for octets of any kind', async () => {
  const coverage = new Coverage('/src/http1/');
  after(() => coverage.close());

  for (const target of await loadTargets()) {
    const seeds = target.seeds.map((text) => Buffer.from(text, 'latin1'));

    test(`${target.name}: what was found before holds, and so does what is found now`, bounded, async () => {
      const corpus = loadCorpus(target.name);
      assert.ok(corpus.length > 10);
      const fuzzer = new Fuzzer(target, coverage, seed);
      try {
        await fuzzer.replay([...seeds, ...corpus]);
        await fuzzer.fuzz(bounds);
      } catch (error) {
        if (error instanceof FuzzFailure) storeInput(target.name, error.input);
        throw error;
      }
      // Otherwise the search is blind.
      assert.ok(fuzzer.features > 200, `only ${fuzzer.features} features`);
    });
  }
});
