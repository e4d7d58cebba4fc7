import type { ValidatedIdentity } from '../certificates/index.ts';
import type { Finding } from '../errors.ts';
import type { Candidate } from './decide.ts';

/** Keeps one certificate from being activated until its files change. */
export interface Hold {
  /** The chain that is not to be served. */
  readonly fingerprint: string;
  /** What is served in its place; null: whatever is served already. */
  readonly instead: ValidatedIdentity | null;
  readonly reason: Finding;
  /** The TLS layer cannot serve it at all: it does not help either when the served one expires. */
  readonly unusable: boolean;
}

/** The holds in force, by identity. */
export class Holds implements Iterable<[string, Hold]> {
  readonly #holds = new Map<string, Hold>();

  set(id: string, hold: Hold): void {
    this.#holds.set(id, hold);
  }

  get(id: string): Hold | undefined {
    return this.#holds.get(id);
  }

  release(id: string): void {
    this.#holds.delete(id);
  }

  /** Ends the holds of identities whose files changed to something else that can be served. */
  releaseChanged(candidates: ReadonlyMap<string, Candidate>): void {
    for (const [id, hold] of this.#holds) {
      const identity = candidates.get(id)?.identity;
      if (identity && identity.fingerprint !== hold.fingerprint) this.#holds.delete(id);
    }
  }

  [Symbol.iterator](): Iterator<[string, Hold]> {
    return this.#holds[Symbol.iterator]();
  }
}
