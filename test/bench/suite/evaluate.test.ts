import assert from 'node:assert/strict';
import { test } from 'node:test';
import { evaluate } from './evaluate.ts';
import type { Sample, Scenario } from './types.ts';

const scenario: Scenario = {
  name: 'example',
  title: 'Example',
  peers: ['nginx', 'swivel'],
  figures: [
    { name: 'cpu', title: 'CPU', unit: 'µs' },
    { name: 'quiet', title: 'quiet', unit: 'ms' },
  ],
  targets: [
    { figure: 'cpu', against: { peer: 'nginx' }, atMost: 1.5 },
    { figure: 'cpu', against: { figure: 'quiet' }, atMost: 1.1 },
    { figure: 'cpu', against: { peer: 'caddy' }, atMost: 1 },
  ],
  begin: () => Promise.reject(new Error('never begun')),
};

function evaluated(swivel: Sample[], nginx: Sample[]) {
  return evaluate(scenario, { scenario: 'example', rounds: { swivel, nginx }, failed: {} });
}

test('a ratio is taken within each round, so that a slow round is slow for both', () => {
  const swivel = [{ cpu: 30 }, { cpu: 300 }, { cpu: 28 }];
  const nginx = [{ cpu: 20 }, { cpu: 200 }, { cpu: 20 }];
  const { ratios, targets, figures } = evaluated(swivel, nginx);
  assert.deepEqual(ratios['nginx'], { median: 1.5, least: 1.4, most: 1.5 });
  assert.equal(targets[0]?.reached, true);
  assert.deepEqual(figures['swivel']?.['cpu'], { median: 30, least: 28, most: 300 });
});

test('a target against another figure of Swivel is compared within its own rounds', () => {
  const { targets } = evaluated([{ cpu: 12, quiet: 10 }], [{ cpu: 1, quiet: 1 }]);
  assert.deepEqual(targets[1]?.measured, { median: 1.2, least: 1.2, most: 1.2 });
  assert.equal(targets[1]?.reached, false);
});

test('a target against a peer that was not measured is neither reached nor missed', () => {
  const { targets } = evaluated([{ cpu: 1, quiet: 1 }], [{ cpu: 1, quiet: 1 }]);
  assert.equal(targets[2]?.measured, undefined);
  assert.equal(targets[2]?.reached, undefined);
});

test('a figure that is no number misses its target', () => {
  const { targets } = evaluated([{ quiet: 1 }], [{ cpu: 1 }]);
  assert.equal(targets[0]?.reached, false);
});

test('of an even number of rounds, the median lies between the two in the middle', () => {
  const { figures } = evaluated([{ cpu: 1 }, { cpu: 4 }, { cpu: 2 }, { cpu: 9 }], []);
  assert.equal(figures['swivel']?.['cpu']?.median, 3);
});
