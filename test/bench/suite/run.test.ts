import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runScenario } from './run.ts';
import type { Stage } from './stage.ts';
import type { Scenario } from './types.ts';

const stage = { speed: { slowdown: async () => 1 } } as unknown as Stage;

function peerOf(name: string) {
  return { name, how: 'never', find: async () => ({ version: '1' }), start: () => Promise.reject(new Error('unused')) };
}

test('each round takes all peers in turn; a peer with a wrong answer has no figures, and the others go on', async (t) => {
  t.mock.method(console, 'error', () => {});
  const steps: string[] = [];
  const scenario: Scenario = {
    name: 'example',
    title: 'Example',
    peers: ['good', 'bad', 'lame'],
    figures: [],
    targets: [],
    begin: async (_stage, { name }) => {
      if (name === 'lame') throw new Error('does not start');
      let round = 0;
      return {
        measure: async () => {
          steps.push(`${name} ${++round}`);
          if (name === 'bad' && round === 2) throw new Error('wrong answers');
          return { cpu: round };
        },
        end: async () => void steps.push(`${name} ends`),
      };
    },
  };
  const peers = ['good', 'bad', 'lame', 'uninvited'].map(peerOf);
  const { rounds, failed } = await runScenario(scenario, peers, 3, stage);
  assert.deepEqual(steps, ['good 1', 'bad 1', 'good 2', 'bad 2', 'bad ends', 'good 3', 'good ends']);
  assert.deepEqual(rounds, { good: [1, 2, 3].map((cpu) => ({ cpu, slowdown: 1 })) });
  assert.deepEqual(failed, { bad: 'wrong answers', lame: 'does not start' });
});
