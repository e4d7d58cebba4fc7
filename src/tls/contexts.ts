import { createSecureContext } from 'node:tls';
import type { TrustBundle, ValidatedIdentity } from '../certificates/index.ts';
import { type Finding, finding, messageOf } from '../errors.ts';
import type { ServedIdentity } from './generation.ts';

/**
 * What an identity gives to a TLS context; the listener's default context is made of the same. The authorities of all bundles together:
 * whether the one that a host trusts is among them is asked afterwards, for each host.
 */
export function contextOptions(identity: ValidatedIdentity, bundles: Iterable<TrustBundle>) {
  const ca = [...bundles].flatMap(({ caPem }) => caPem);
  return { cert: identity.chainPem, key: identity.keyPem.reveal(), ...(ca.length > 0 ? { ca } : {}) };
}

/** The served identity as it is, where nothing that its context is made of changed. */
export function reuse(known: ServedIdentity | undefined, identity: ValidatedIdentity): ServedIdentity | undefined {
  if (known?.identity.fingerprint !== identity.fingerprint) return undefined;
  return known.identity === identity ? known : { ...known, identity };
}

/** @throws what OpenSSL says against certificate, key or authorities */
export function build(
  identity: ValidatedIdentity,
  bundles: Iterable<TrustBundle>,
  since: number,
  now: number,
): ServedIdentity {
  const context = createSecureContext(contextOptions(identity, bundles));
  return { identity, context, since, activatedAt: new Date(now) };
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
