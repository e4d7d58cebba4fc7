import { contextTag, DerError, DerReader, tags } from './trust/der.ts';

/**
 * The SubjectPublicKeyInfo of a certificate (RFC 5280 §4.1), as it stands there.
 * @param certificate DER
 * @returns null when it is no certificate
 */
export function subjectPublicKeyInfo(certificate: Buffer): Buffer | null {
  try {
    const body = new DerReader(certificate).enter(tags.sequence).enter(tags.sequence);
    body.optional(contextTag(0));
    body.next(tags.integer);
    // Signature algorithm, issuer, validity, subject.
    for (let i = 0; i < 4; i += 1) body.next(tags.sequence);
    const { start, end } = body.next(tags.sequence);
    return certificate.subarray(start, end);
  } catch (error) {
    if (error instanceof DerError) return null;
    throw error;
  }
}
