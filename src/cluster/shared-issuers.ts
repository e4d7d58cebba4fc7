/** Certificates that are kept; by far more than authorities have intermediates. */
const most = 256;

/**
 * Intermediates of clients that some worker trusted, for the others: a session that was opened on one resumes on another, and brings the
 * leaf alone. They are not trusted, only at hand.
 */
export class SharedIssuers {
  /** By their DER, the oldest first. */
  readonly #known = new Map<string, Uint8Array>();

  /** @param certificates DER @returns those that were not known */
  learn(certificates: readonly Uint8Array[]): Uint8Array[] {
    const news: Uint8Array[] = [];
    for (const certificate of certificates) {
      const key = Buffer.from(certificate).toString('latin1');
      if (this.#known.has(key)) continue;
      this.#known.set(key, certificate);
      news.push(certificate);
    }
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= most) break;
      this.#known.delete(oldest);
    }
    return news;
  }

  get all(): Uint8Array[] {
    return [...this.#known.values()];
  }
}
