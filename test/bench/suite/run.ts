import type { Peer } from '../peers/types.ts';
import type { Stage } from './stage.ts';
import type { Sample, Scenario, Trial } from './types.ts';
import { undisturbed } from './undisturbed.ts';

export interface ScenarioResult {
  scenario: string;
  /** By peer, the figures of its rounds in their order. */
  rounds: Record<string, Sample[]>;
  /** Peers that could not be measured, and why: their figures up to then do not count. */
  failed: Record<string, string>;
}

/** Measures one scenario: all peers run through all rounds, and each round takes one after the other. */
export async function runScenario(
  scenario: Scenario,
  peers: readonly Peer[],
  rounds: number,
  stage: Stage,
): Promise<ScenarioResult> {
  const result: ScenarioResult = { scenario: scenario.name, rounds: {}, failed: {} };
  const trials = new Map<string, Trial>();
  const attempt = async <T>(peer: string, what: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await what();
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      console.error(`  ${peer} FAILED: ${reason}`);
      result.failed[peer] = reason;
      await trials.get(peer)?.end();
      trials.delete(peer);
      delete result.rounds[peer];
      return undefined;
    }
  };
  try {
    for (const peer of peers.filter(({ name }) => scenario.peers.includes(name))) {
      const trial = await attempt(peer.name, () => scenario.begin(stage, peer));
      if (!trial) continue;
      trials.set(peer.name, trial);
      result.rounds[peer.name] = [];
    }
    for (let round = 1; round <= rounds; round++) {
      console.error(`  round ${round} of ${rounds}`);
      for (const [name, trial] of trials) {
        const slowdown = () => stage.speed.slowdown();
        const sample = await attempt(name, () => undisturbed(() => trial.measure(), slowdown, scenario.once));
        if (sample) result.rounds[name]?.push(sample);
      }
    }
  } finally {
    for (const trial of trials.values()) await trial.end();
  }
  return result;
}
