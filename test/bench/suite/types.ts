import type { Peer } from '../peers/types.ts';
import type { Stage } from './stage.ts';

/** One figure that a scenario measures. Less is better, unless its unit is a rate (`/s`). */
export interface Figure {
  readonly name: string;
  /** For a table. */
  readonly title: string;
  readonly unit: string;
}

/** What Swivel must reach: its figure is at most so many times another one, taken in the same round. */
export interface Target {
  readonly figure: string;
  /** The same figure of another peer, or another figure of Swivel itself. */
  readonly against: { readonly peer: string } | { readonly figure: string };
  readonly atMost: number;
}

/** The figures of one peer in one round, by name. */
export type Sample = Readonly<Record<string, number>>;

/** One peer in one scenario, from its start to its end. */
export interface Trial {
  /** One round. Rejects when any answer was wrong. */
  measure(): Promise<Sample>;
  end(): Promise<void>;
}

export interface Scenario {
  readonly name: string;
  readonly title: string;
  /** Names of the peers that can take part. */
  readonly peers: readonly string[];
  /** The first one is compared between peers. */
  readonly figures: readonly Figure[];
  readonly targets: readonly Target[];
  /** It takes too long to be measured again when others disturb it. */
  readonly once?: boolean;
  begin(stage: Stage, peer: Peer): Promise<Trial>;
}
