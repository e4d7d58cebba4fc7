import type { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import type { ClientChains } from './client-chains.ts';

/** The certificate that a client showed, whoever issued it. */
export interface ClientCertificate {
  /** Leaf first, as the client sent it; when the session was resumed, the leaf and what is remembered of the rest. */
  readonly chain: readonly X509Certificate[];
  readonly resumed: boolean;
  /** What the TLS library has against it that nobody else looks at; null when nothing. */
  readonly fault: string | null;
}

const longestChain = 16;

/** What OpenSSL says when it finds no way to an authority, or a date that has passed: which bundle counts for which host it cannot know. */
const judgedElsewhere: ReadonlySet<string> = new Set([
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'CERT_NOT_YET_VALID',
  'CERT_HAS_EXPIRED',
  'CERT_UNTRUSTED',
]);

/**
 * The certificate of the client at the other end; null when it showed none.
 * @param chains what resumed sessions do not bring
 */
export function clientCertificateOf(secure: TLSSocket, chains: ClientChains): ClientCertificate | null {
  const chain: X509Certificate[] = [];
  const leaf = secure.getPeerX509Certificate();
  if (!leaf) return null;
  for (
    let next: X509Certificate | undefined = leaf;
    next && chain.length < longestChain;
    next = next.issuerCertificate
  ) {
    chain.push(next);
  }
  const resumed = secure.isSessionReused();
  if (resumed && chain.length === 1) chain.push(...chains.above(leaf));
  const error = secure.authorized ? null : String(secure.authorizationError);
  return { chain, resumed, fault: error === null || judgedElsewhere.has(error) ? null : error };
}
