import type { SecureContext } from 'node:tls';
import type { TrustBundle, ValidatedIdentity } from '../certificates/index.ts';
import { type Finding, finding, messageOf } from '../errors.ts';
import type { ServedIdentity } from './generation.ts';
import type { LazyContext } from './lazy-context.ts';

/**
 * What an identity gives to a TLS context; the listener's default context is made of the same. The authorities of all bundles together:
 * whether the one that a host trusts is among them is asked afterwards, for each host.
 */
export function contextOptions(identity: ValidatedIdentity, bundles: Iterable<TrustBundle>) {
  const ca = [...bundles].flatMap(({ caPem }) => caPem);
  return { cert: identity.chainPem, key: identity.keyPem.reveal(), ...(ca.length > 0 ? { ca } : {}) };
}

/** An identity as a generation holds it: its context is built when it is needed. */
export class Served implements ServedIdentity {
  readonly identity: ValidatedIdentity;
  readonly since: number;
  readonly activatedAt: Date;
  readonly lazy: LazyContext;

  /** @param since the generation it came in with */
  constructor(identity: ValidatedIdentity, lazy: LazyContext, since: number, activatedAt: Date) {
    this.identity = identity;
    this.lazy = lazy;
    this.since = since;
    this.activatedAt = activatedAt;
  }

  get context(): SecureContext {
    return this.lazy.use();
  }

  /** The same with another context. */
  withContext(lazy: LazyContext): Served {
    return new Served(this.identity, lazy, this.since, this.activatedAt);
  }

  /** What serves an identity, where nothing that its context is made of differs. */
  for(identity: ValidatedIdentity): Served | undefined {
    if (this.identity.fingerprint !== identity.fingerprint) return undefined;
    return this.identity === identity ? this : new Served(identity, this.lazy, this.since, this.activatedAt);
  }
}

export function contextFailure(identity: ValidatedIdentity, error: unknown): Finding {
  return finding('CONTEXT_FAILED', 'error', {
    identity: identity.id,
    file: identity.files.certificate,
    message: `the TLS library refuses ${identity.files.certificate}: ${messageOf(error)}`,
  });
}

export function rehearsalFailure(identity: ValidatedIdentity, reason: string): Finding {
  return finding('HANDSHAKE_FAILED', 'error', {
    identity: identity.id,
    file: identity.files.certificate,
    message: `a rehearsed handshake with ${identity.files.certificate} failed: ${reason}`,
  });
}
