import type { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';

/** The certificate that a client showed, whoever issued it. */
export interface ClientCertificate {
  /** Leaf first, as the client sent it; the leaf alone when the session was resumed. */
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

/** The certificate of the client at the other end; null when it showed none. */
export function clientCertificateOf(secure: TLSSocket): ClientCertificate | null {
  const chain: X509Certificate[] = [];
  const leaf = secure.getPeerX509Certificate();
  for (let next = leaf; next && chain.length < longestChain; next = next.issuerCertificate) {
    if (chain.some(({ raw }) => raw.equals((next as X509Certificate).raw))) break;
    chain.push(next);
  }
  if (chain.length === 0) return null;
  const error = secure.authorized ? null : String(secure.authorizationError);
  return {
    chain,
    resumed: secure.isSessionReused(),
    fault: error === null || judgedElsewhere.has(error) ? null : error,
  };
}
