import type { ValidatedIdentity } from '../certificates/index.ts';

export interface CanaryOptions {
  /** The share of handshakes that get the new certificate, between 0 and 1; 0: no canary. */
  readonly share: number;
  /** Milliseconds after which it is promoted. */
  readonly duration: number;
}

/** Handshakes with one certificate, and how many of them the client refused because of it. */
export interface Counts {
  handshakes: number;
  refused: number;
}

/** A new certificate that is given to some clients first. */
export interface Trial {
  readonly identity: ValidatedIdentity;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  readonly promoteAt: number;
  /** What clients made of it, and meanwhile of the one it is to replace. */
  readonly canary: Counts;
  readonly stable: Counts;
}

/** `off`: there are no trials. `none`: it is on none yet. */
export type TrialState = 'off' | 'none' | 'running' | 'passed';

/** Refusals that a verdict needs at least: one client alone may have trouble of its own. */
const fewest = 3;

/** Whether clients refuse the new certificate more often than the old one, beyond what chance explains. Pure. */
export function isWorse(canary: Counts, stable: Counts): boolean {
  if (canary.refused < fewest) return false;
  const baseline = stable.handshakes === 0 ? 0 : stable.refused / stable.handshakes;
  return lowerBound(canary) > baseline + 0.01;
}

/** Below which the true rate of refusals hardly is: Wilson's score interval, two standard deviations. */
function lowerBound({ handshakes: n, refused }: Counts): number {
  const z = 2;
  const p = refused / n;
  const spread = z * Math.sqrt((p * (1 - p)) / n + (z * z) / (4 * n * n));
  return (p + (z * z) / (2 * n) - spread) / (1 + (z * z) / n);
}

/** The trials under way, one for each identity at most. */
export class Trials {
  readonly #options: CanaryOptions;
  readonly #trials = new Map<string, Trial>();

  constructor(options: CanaryOptions) {
    this.#options = options;
  }

  /** How far a certificate is. @param now milliseconds since 1970 */
  readonly stateOf = (identity: ValidatedIdentity, now: number): TrialState => {
    if (this.#options.share <= 0) return 'off';
    const trial = this.#trials.get(identity.id);
    if (trial?.identity.fingerprint !== identity.fingerprint) return 'none';
    return now >= trial.promoteAt ? 'passed' : 'running';
  };

  get(id: string): Trial | undefined {
    return this.#trials.get(id);
  }

  /** Brings the trials in line with what was published. @returns those that begin */
  published(canaries: readonly ValidatedIdentity[], now: number): Trial[] {
    const begun: Trial[] = [];
    for (const id of this.#trials.keys()) if (!canaries.some((one) => one.id === id)) this.#trials.delete(id);
    for (const identity of canaries) {
      if (this.#trials.get(identity.id)?.identity.fingerprint === identity.fingerprint) continue;
      const trial = {
        identity,
        startedAt: now,
        promoteAt: now + this.#options.duration,
        canary: { handshakes: 0, refused: 0 },
        stable: { handshakes: 0, refused: 0 },
      };
      this.#trials.set(identity.id, trial);
      begun.push(trial);
    }
    return begun;
  }

  /**
   * Counts handshakes.
   * @param id of the identity
   * @param fingerprint of the chain the client was shown
   * @param refused whether the clients answered them with an alert
   * @param times how many
   * @returns the trial that failed by it
   */
  observe(id: string, fingerprint: string, refused: boolean, times = 1): Trial | null {
    const trial = this.#trials.get(id);
    if (!trial) return null;
    const isCanary = trial.identity.fingerprint === fingerprint;
    const counts = isCanary ? trial.canary : trial.stable;
    counts.handshakes += times;
    if (!refused) return null;
    counts.refused += times;
    return isCanary && isWorse(trial.canary, trial.stable) ? trial : null;
  }
}
