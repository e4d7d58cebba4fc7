import { createSecureContext, type SecureContext } from 'node:tls';
import type { TrustBundle, ValidatedIdentity } from '../certificates/index.ts';
import { contextOptions } from './contexts.ts';

/** A TLS context that is built when it is first used, and given up when others were used more recently. */
export class LazyContext {
  readonly identity: ValidatedIdentity;
  readonly #bundles: ReadonlyMap<string, TrustBundle>;
  readonly #cache: ContextCache;
  #context: SecureContext | null = null;

  constructor(identity: ValidatedIdentity, bundles: ReadonlyMap<string, TrustBundle>, cache: ContextCache) {
    this.identity = identity;
    this.#bundles = bundles;
    this.#cache = cache;
  }

  /**
   * The context, for a handshake that begins in this turn of the event loop: later it may have been given up.
   * @throws what OpenSSL says against certificate, key or authorities
   */
  use(): SecureContext {
    this.#context ??= createSecureContext(contextOptions(this.identity, this.#bundles.values()));
    this.#cache.used(this);
    return this.#context;
  }

  get isBuilt(): boolean {
    return this.#context !== null;
  }

  /** Is not what keeps it in memory any more. */
  forget(): void {
    this.#context = null;
  }

  /** Gives its memory back at once; connections hold their own share of it. */
  release(): void {
    // Otherwise it would stay until garbage is collected, which knows nothing of what OpenSSL holds: 40 KB each.
    (this.#context?.context as { close?: () => void } | undefined)?.close?.();
    this.#context = null;
  }
}

/** Contexts in memory at most: some 170 MB. Beyond that a handshake pays for building one, 0.3 ms. */
export const contextsKept = 4096;

/** Knows which contexts are built, and gives up the one that was not used for longest when there are too many. */
export class ContextCache {
  readonly #limit: number;
  /** The least recently used first. */
  readonly #built = new Set<LazyContext>();

  constructor(limit: number = contextsKept) {
    this.#limit = limit;
  }

  /** How many contexts are built. */
  get size(): number {
    return this.#built.size;
  }

  used(context: LazyContext): void {
    this.#built.delete(context);
    this.#built.add(context);
    if (this.#built.size <= this.#limit) return;
    for (const oldest of this.#built) {
      this.#built.delete(oldest);
      oldest.release();
      break;
    }
  }

  /**
   * Forgets what is not served any more: it goes with the last connection that was made with it.
   * @param doubtful those to ask for; all when left out
   */
  keep(isServed: (context: LazyContext) => boolean, doubtful: Iterable<LazyContext> = this.#built): void {
    for (const context of doubtful) {
      if (isServed(context)) continue;
      this.#built.delete(context);
      context.forget();
    }
  }
}
