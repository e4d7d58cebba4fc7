import type { ValidatedIdentity } from '../certificates/index.ts';
import type { Candidate, Hold } from './types.ts';

/** What was said about certificates on disk beside what they say themselves: held, or accepted by an operator. Never both. */
export class Holds {
  readonly #holds = new Map<string, Hold>();
  /** Chains that are to be served whatever the gate finds, by identity. */
  readonly #accepted = new Map<string, string>();

  set(id: string, hold: Hold): void {
    this.#holds.set(id, hold);
    this.#accepted.delete(id);
  }

  get(id: string): Hold | undefined {
    return this.#holds.get(id);
  }

  /** Whether nothing was said about any. */
  get isEmpty(): boolean {
    return this.#holds.size + this.#accepted.size === 0;
  }

  release(id: string): void {
    this.#holds.delete(id);
  }

  accept({ id, fingerprint }: ValidatedIdentity): void {
    this.#accepted.set(id, fingerprint);
    this.#holds.delete(id);
  }

  isAccepted({ id, fingerprint }: ValidatedIdentity): boolean {
    return this.#accepted.get(id) === fingerprint;
  }

  /** Forgets what was said about certificates whose files changed to something else that can be served. */
  releaseChanged(candidates: ReadonlyMap<string, Candidate>): void {
    const isOther = (id: string, fingerprint: string) => {
      const identity = candidates.get(id)?.identity;
      return identity ? identity.fingerprint !== fingerprint : false;
    };
    for (const [id, { fingerprint }] of this.#holds) if (isOther(id, fingerprint)) this.#holds.delete(id);
    for (const [id, fingerprint] of this.#accepted) if (isOther(id, fingerprint)) this.#accepted.delete(id);
  }
}
