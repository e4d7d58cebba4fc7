import type { ValidatedIdentity } from '../certificates/index.ts';

/** Milliseconds that the writer of a chain has for the rest of it; shorter than the time after which a rejection is told. */
const patience = 400;

/**
 * A chain that is shorter than the one in service may be one whose intermediates are still to be written, by a writer that is slow
 * and has no other place to write to. It is valid, and most clients refuse it. So it has to be found a while without the rest.
 */
export class ShortChains {
  readonly #until = new Map<string, { readonly fingerprint: string; readonly at: number }>();

  /** When a chain counts as whole, milliseconds since 1970. @param current what is served under its id */
  readonly wholeAt = (identity: ValidatedIdentity, current: ValidatedIdentity, now: number): number => {
    const { id, fingerprint } = identity;
    if (lengthOf(identity) >= lengthOf(current)) {
      this.#until.delete(id);
      return now;
    }
    const known = this.#until.get(id);
    if (known?.fingerprint === fingerprint) return known.at;
    this.#until.set(id, { fingerprint, at: now + patience });
    return now + patience;
  };
}

function lengthOf({ chainPem }: ValidatedIdentity): number {
  return chainPem.split('-----BEGIN ').length - 1;
}
