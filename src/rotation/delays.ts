import type { ValidatedIdentity } from '../certificates/index.ts';

/** A span of milliseconds, from which one is drawn at random. */
export interface Range {
  readonly min: number;
  readonly max: number;
}

/** Draws for each new certificate how long its activation waits, so that a fleet does not change at once. */
export class Delays {
  readonly #range: Range;
  readonly #random: () => number;
  readonly #until = new Map<string, { readonly fingerprint: string; readonly at: number }>();

  constructor(range: Range, random: () => number = Math.random) {
    this.#range = range;
    this.#random = random;
  }

  /** When a certificate may be activated, milliseconds since 1970; drawn when it is asked for the first time. */
  readonly activatesAt = (identity: ValidatedIdentity, now: number): number => {
    const { min, max } = this.#range;
    if (max <= 0) return now;
    const known = this.#until.get(identity.id);
    if (known?.fingerprint === identity.fingerprint) return known.at;
    const at = now + min + this.#random() * (max - min);
    this.#until.set(identity.id, { fingerprint: identity.fingerprint, at });
    return at;
  };
}
