import { type ValidatedIdentity, validityOf } from '../certificates/index.ts';

/** Generations, and certificates of one identity, that can be gone back to. */
const kept = 10;

/** Remembers what was served before, as far as a rollback may want it. */
export class History {
  /** What each identity served before, the latest last. */
  readonly #earlier = new Map<string, ValidatedIdentity[]>();
  /** Which identities changed together, the latest last. */
  #commits: (readonly string[])[] = [];

  /** Notes a commit that exchanged certificates. @param replaced what is no longer served */
  committed(replaced: readonly ValidatedIdentity[]): void {
    if (replaced.length === 0) return;
    for (const identity of replaced) {
      const list = this.#earlier.get(identity.id) ?? [];
      this.#earlier.set(identity.id, [...list, identity].slice(-kept));
    }
    this.#commits = [...this.#commits, replaced.map(({ id }) => id)].slice(-kept);
  }

  /** The identities that the latest commit changed. */
  get latest(): readonly string[] {
    return this.#commits.at(-1) ?? [];
  }

  /**
   * What an identity served before, and takes it off the list: the next call goes one further back.
   * @param current what is served now
   * @param now milliseconds since 1970
   * @returns the last one that is different and still valid; null when there is none
   */
  takeEarlier(id: string, current: ValidatedIdentity | null, now: number): ValidatedIdentity | null {
    const list = this.#earlier.get(id) ?? [];
    for (let last = list.pop(); last; last = list.pop()) {
      if (last.fingerprint !== current?.fingerprint && validityOf(last.leaf, now) === 'valid') {
        const at = this.#commits.findLastIndex((ids) => ids.includes(id));
        this.#commits = this.#commits.map((ids, i) => (i === at ? ids.filter((one) => one !== id) : ids));
        this.#commits = this.#commits.filter((ids) => ids.length > 0);
        return last;
      }
    }
    return null;
  }

  /** Forgets a chain that must never be served again. */
  forget(fingerprint: string): void {
    for (const [id, list] of this.#earlier) {
      this.#earlier.set(
        id,
        list.filter((identity) => identity.fingerprint !== fingerprint),
      );
    }
  }
}
