import { X509Certificate } from 'node:crypto';

/** By far more than authorities have intermediates. */
const most = 64;
const known = new Map<string, X509Certificate>();

/**
 * Parses a certificate that many chains may have in common: thousands of leaves come with the same few intermediates. The last of them
 * are remembered.
 * @param pem of one certificate
 * @throws what OpenSSL says against it
 */
export function knownCertificate(pem: string): X509Certificate {
  const before = known.get(pem);
  if (before) return before;
  const certificate = new X509Certificate(pem);
  known.set(pem, certificate);
  for (const oldest of known.keys()) {
    if (known.size <= most) break;
    known.delete(oldest);
  }
  return certificate;
}
