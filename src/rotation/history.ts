import type { ValidatedIdentity } from '../certificates/index.ts';

/** Certificates of one identity that can be gone back to. */
const kept = 10;

interface Entry {
  readonly identity: ValidatedIdentity;
  /** The generation that replaced it. */
  readonly replacedBy: number;
}

/** Remembers what was served before, as far as a rollback may want it. */
export class History {
  /** What each identity served before, the latest last. */
  readonly #earlier = new Map<string, Entry[]>();

  /** Notes a commit. @param replaced what it exchanged @param generation its number */
  committed(replaced: Iterable<ValidatedIdentity>, generation: number): void {
    for (const identity of replaced) {
      const entry = { identity, replacedBy: generation };
      this.#earlier.set(identity.id, [...(this.#earlier.get(identity.id) ?? []), entry].slice(-kept));
    }
  }

  /** The identities that the latest commit exchanged, and its number; 0 when there was none. */
  get latest(): { readonly generation: number; readonly ids: readonly string[] } {
    const last = [...this.#earlier].map(([id, entries]) => ({ id, generation: entries.at(-1)?.replacedBy ?? 0 }));
    const generation = last.reduce((most, one) => Math.max(most, one.generation), 0);
    return {
      generation,
      ids: last.filter((one) => one.generation === generation && generation > 0).map(({ id }) => id),
    };
  }

  /** What an identity served before, the latest last. */
  of(id: string): readonly ValidatedIdentity[] {
    return this.#earlier.get(id)?.map(({ identity }) => identity) ?? [];
  }

  /**
   * What an identity served before; takes it off, so that the next call goes one further back.
   * @param current what is served now
   * @param isUsable whether one can still be served
   * @returns the last one that is different and usable; null when there is none
   */
  takeEarlier(
    id: string,
    current: ValidatedIdentity,
    isUsable: (identity: ValidatedIdentity) => boolean,
  ): ValidatedIdentity | null {
    const entries = this.#earlier.get(id) ?? [];
    for (let last = entries.pop(); last; last = entries.pop()) {
      const { identity } = last;
      if (identity.fingerprint !== current.fingerprint && isUsable(identity)) return identity;
    }
    return null;
  }
}
