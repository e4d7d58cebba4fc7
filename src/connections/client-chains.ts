import type { X509Certificate } from 'node:crypto';

/** Certificates above a leaf that are looked at. */
const mostAbove = 15;

/**
 * The intermediates of clients that were trusted. A resumed session brings the leaf alone, for OpenSSL keeps no more in a ticket
 * (`SSL_SESSION`); its chain is put together again from here, and then verified like any other. What is remembered is not trusted, only
 * at hand.
 */
export class ClientChains {
  /** By fingerprint, the one longest unused first. */
  readonly #known = new Map<string, X509Certificate>();
  readonly #most: number;

  /** @param most how many are remembered; by default far more than authorities have */
  constructor(most = 256) {
    this.#most = most;
  }

  /**
   * Remembers the intermediates of a chain, but only those that signatures lead to: what else a client sends stays out.
   * @param chain leaf first, of a client that is trusted
   * @returns those that were not known
   */
  learn([leaf, ...others]: readonly X509Certificate[]): X509Certificate[] {
    return leaf ? this.keep(above(leaf, others, isSignedBy)) : [];
  }

  /** Remembers certificates. @returns those that were not known */
  keep(certificates: readonly X509Certificate[]): X509Certificate[] {
    const news: X509Certificate[] = [];
    for (const issuer of certificates) {
      if (!this.#known.delete(issuer.fingerprint256)) news.push(issuer);
      this.#known.set(issuer.fingerprint256, issuer);
    }
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= this.#most) break;
      this.#known.delete(oldest);
    }
    return news;
  }

  /** The remembered certificates that may stand above a leaf, by their names alone. */
  above(leaf: X509Certificate): X509Certificate[] {
    return above(leaf, [...this.#known.values()], (one, issuer) => one.checkIssued(issuer));
  }
}

function above(
  leaf: X509Certificate,
  candidates: readonly X509Certificate[],
  isIssuedBy: (one: X509Certificate, issuer: X509Certificate) => boolean,
): X509Certificate[] {
  const path = [leaf];
  // It grows under way: an issuer has issuers.
  for (const one of path) {
    for (const candidate of candidates) {
      if (path.length > mostAbove) return path.slice(1);
      if (!path.includes(candidate) && isIssuedBy(one, candidate)) path.push(candidate);
    }
  }
  return path.slice(1);
}

function isSignedBy(one: X509Certificate, issuer: X509Certificate): boolean {
  try {
    return one.checkIssued(issuer) && one.verify(issuer.publicKey);
  } catch {
    // A key that OpenSSL cannot read.
    return false;
  }
}
