import type { ScenarioResult } from './run.ts';
import type { Scenario, Target } from './types.ts';

export const OURS = 'swivel';

export interface Spread {
  median: number;
  least: number;
  most: number;
}

export interface TargetResult extends Target {
  /** Ratios of the rounds; undefined when one of the two was not measured. */
  measured: Spread | undefined;
  reached: boolean | undefined;
}

export interface Evaluation {
  scenario: string;
  /** By peer and figure, over all rounds. */
  figures: Record<string, Record<string, Spread>>;
  /** Swivel's first figure divided by that of each other peer, within each round. */
  ratios: Record<string, Spread>;
  targets: TargetResult[];
  failed: Record<string, string>;
}

/** Medians, ratios and targets of a scenario. */
export function evaluate(scenario: Scenario, { rounds, failed }: ScenarioResult): Evaluation {
  const [first] = scenario.figures;
  const figures: Evaluation['figures'] = {};
  for (const [peer, samples] of Object.entries(rounds)) {
    const names = scenario.figures.map(({ name }) => name);
    figures[peer] = Object.fromEntries(names.map((name) => [name, spreadOf(samples.map((sample) => sample[name]))]));
  }
  const ratio = (figure: string, peer: string, other = figure): Spread | undefined => {
    const theirs = rounds[peer];
    const ours = rounds[OURS];
    if (!ours || !theirs) return undefined;
    return spreadOf(
      ours.map((sample, round) => (sample[figure] ?? Number.NaN) / (theirs[round]?.[other] ?? Number.NaN)),
    );
  };
  const ratios: Evaluation['ratios'] = {};
  for (const peer of Object.keys(rounds)) {
    const measured = peer === OURS || !first ? undefined : ratio(first.name, peer);
    if (measured) ratios[peer] = measured;
  }
  const targets = scenario.targets.map((target) => {
    const { figure, against, atMost } = target;
    const measured = 'peer' in against ? ratio(figure, against.peer) : ratio(figure, OURS, against.figure);
    return { ...target, measured, reached: measured && measured.median <= atMost };
  });
  return { scenario: scenario.name, figures, ratios, targets, failed };
}

function spreadOf(values: readonly (number | undefined)[]): Spread {
  const sorted = values.map((value) => value ?? Number.NaN).sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const [low, high] = [sorted[Math.ceil(middle) - 1] ?? Number.NaN, sorted[Math.floor(middle)] ?? Number.NaN];
  return { median: (low + high) / 2, least: sorted[0] ?? Number.NaN, most: sorted.at(-1) ?? Number.NaN };
}
