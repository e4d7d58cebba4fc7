import type { KeyObject, X509Certificate } from 'node:crypto';
import { oneLine, type TrustAnchor, type TrustBundle } from './bundle.ts';
import { type CertificateFacts, keyUsages, readCertificate } from './certificate.ts';
import { DerError } from './der.ts';
import { type Path, type Presented, pathsOf } from './paths.ts';

/** Why a client certificate is refused. */
export type RefusalReason =
  | 'unknown-authority'
  | 'expired'
  | 'not-yet-valid'
  | 'revoked'
  | 'not-for-clients'
  | 'invalid';

/** A refusal, with words for the log. */
export interface Refusal {
  readonly ok: false;
  readonly reason: RefusalReason;
  readonly detail: string;
}

/** Whether a client certificate is accepted, and until when (milliseconds since 1970) if nothing else changes. */
export type ClientVerdict = { readonly ok: true; readonly trustedUntil: number } | Refusal;

const clientAuth = '1.3.6.1.5.5.7.3.2';
const anyPurpose = '2.5.29.37.0';
/** What a client sends beyond this many is not looked at. */
const mostPresented = 16;

/**
 * Checks the certificate of a client against a bundle (RFC 5280 §6). Of all ways to an anchor the one that lasts longest counts; where
 * none is good, the first one says why. Pure.
 * @param chain as the client sent it: the leaf first, intermediates in any order
 * @param now milliseconds since 1970
 */
export function verifyClient(bundle: TrustBundle, chain: readonly X509Certificate[], now: number): ClientVerdict {
  const [leaf, ...others] = chain.slice(0, mostPresented).map(presented);
  if (!leaf) return refuse('invalid', 'the client certificate is missing or malformed');
  const fault = leafFault(leaf, now);
  if (fault) return fault;
  const links = new Links();
  let best: ClientVerdict | null = null;
  for (const path of pathsOf(bundle, leaf, intermediatesOf(bundle, leaf, others))) {
    const trustedUntil = Math.min(path.anchor.facts.notAfter, ...path.certificates.map(({ facts }) => facts.notAfter));
    if (best?.ok && best.trustedUntil >= trustedUntil) continue;
    if (!links.hold(path)) continue;
    const wrong = pathFault(bundle, path, now);
    if (!wrong) best = { ok: true, trustedUntil };
    else best ??= wrong;
  }
  return best ?? refuse('unknown-authority', `no authority of ${bundle.id} issued ${quoted(leaf)}`);
}

/**
 * Whether signatures lead from a chain to an authority of a bundle, whatever else is to be said about it: for chains of our own, whose
 * dates and purposes are judged elsewhere. Pure.
 * @param chain leaf first
 */
export function isAnchored(bundle: TrustBundle, chain: readonly X509Certificate[]): boolean {
  const [leaf, ...others] = chain.map(presented);
  if (!leaf) return false;
  const links = new Links();
  for (const path of pathsOf(bundle, leaf, intermediatesOf(bundle, leaf, others))) if (links.hold(path)) return true;
  return false;
}

/** Signatures between the certificates of one verification, each checked once. */
class Links {
  readonly #known = new Map<Presented, Map<Presented | TrustAnchor, boolean>>();

  /**
   * Whether each certificate of a path is issued by the next. From the anchor down, so that no key does any work before somebody who is
   * trusted has vouched for it: a client cannot make this slow with keys of its own.
   */
  hold({ certificates, anchor }: Path): boolean {
    let issuer: Presented | TrustAnchor = anchor;
    for (const certificate of certificates.toReversed()) {
      if (!this.#holds(certificate, issuer)) return false;
      issuer = certificate;
    }
    return true;
  }

  #holds(certificate: Presented, issuer: Presented | TrustAnchor): boolean {
    const known = this.#known.get(certificate) ?? new Map<Presented | TrustAnchor, boolean>();
    this.#known.set(certificate, known);
    const holds = known.get(issuer) ?? isIssuedBy(certificate, issuer);
    known.set(issuer, holds);
    return holds;
  }
}

function isIssuedBy({ certificate }: Presented, issuer: Presented | TrustAnchor): boolean {
  try {
    const key: KeyObject = 'publicKey' in issuer ? issuer.publicKey : issuer.certificate.publicKey;
    // What `checkIssued` says of keyUsage is said in words by `issuerFault`.
    const named = !maySign(issuer.facts) || certificate.checkIssued(issuer.certificate);
    return named && certificate.verify(key);
  } catch {
    return false;
  }
}

/** What is wrong with a path whose signatures hold. */
function pathFault(bundle: TrustBundle, { certificates, anchor }: Path, now: number): Refusal | null {
  const [, ...intermediates] = certificates;
  let below = 0;
  for (const issuer of [...intermediates, anchor]) {
    const fault = dateFault(issuer, now) ?? issuerFault(issuer, below);
    if (fault) return fault;
    // RFC 5280 §4.2.1.9: a CA that changes its own key does not count.
    if (issuer.facts.subject !== issuer.facts.issuer) below += 1;
  }
  // An anchor is trusted for what it is, not for who signed it; revoked it is all the same when a CRL of the bundle says so.
  for (const one of [...certificates, anchor]) {
    const fault = revocation(bundle, one);
    if (fault) return fault;
  }
  return intermediates.map(signatureFault).find((fault) => fault !== null) ?? null;
}

function issuerFault(issuer: Presented, below: number): Refusal | null {
  const { ca, pathLength, purposes, restriction } = issuer.facts;
  if (!ca) return refuse('invalid', `${quoted(issuer)} issued a certificate and is not a CA`);
  if (!maySign(issuer.facts))
    return refuse('invalid', `the keyUsage of ${quoted(issuer)} does not allow to sign certificates`);
  if (pathLength !== null && below > pathLength) {
    return refuse('invalid', `${quoted(issuer)} allows ${pathLength} intermediates below it, and there are ${below}`);
  }
  if (restriction)
    return refuse('invalid', `${quoted(issuer)} is restricted in a way that is not supported (${restriction})`);
  // RFC 5280 does not ask for it of a CA; OpenSSL does, and so do those who restrict a CA in this way.
  if (purposes && !isForClients(purposes))
    return refuse('not-for-clients', `${quoted(issuer)} may not issue client certificates`);
  return null;
}

function leafFault(leaf: Presented, now: number): Refusal | null {
  const { keyUsage, purposes, restriction } = leaf.facts;
  const fault = dateFault(leaf, now) ?? signatureFault(leaf);
  if (fault) return fault;
  // RFC 5280 §4.2.1.12, and §4.2.1.3 with RFC 8446 §4.4.2.4 (and older key agreement).
  if (purposes && !isForClients(purposes)) {
    return refuse('not-for-clients', `${quoted(leaf)} is not issued for TLS clients (extendedKeyUsage)`);
  }
  if (keyUsage !== null && !(keyUsage & (keyUsages.digitalSignature | keyUsages.keyAgreement))) {
    return refuse('not-for-clients', `${quoted(leaf)} is not issued for signatures (keyUsage)`);
  }
  return restriction
    ? refuse('invalid', `${quoted(leaf)} has a critical extension that is not known (${restriction})`)
    : null;
}

function dateFault(one: Presented, now: number): Refusal | null {
  if (now > one.facts.notAfter) return refuse('expired', `${quoted(one)} expired ${stamp(one.facts.notAfter)}`);
  if (now >= one.facts.notBefore) return null;
  return refuse('not-yet-valid', `${quoted(one)} is valid from ${stamp(one.facts.notBefore)}`);
}

function signatureFault(one: Presented): Refusal | null {
  const { scheme, oid } = one.facts.signature;
  return scheme ? null : refuse('invalid', `${quoted(one)} is signed in a way that is not accepted (${oid})`);
}

function revocation(bundle: TrustBundle, one: Presented): Refusal | null {
  const { issuer, serial } = one.facts;
  return bundle.revoked.get(issuer)?.has(serial) ? refuse('revoked', `${quoted(one)} is on a CRL of its issuer`) : null;
}

/** What may stand between leaf and anchors: neither the leaf again, nor what is an anchor itself, nor anything twice. */
function intermediatesOf(bundle: TrustBundle, leaf: Presented, others: readonly (Presented | null)[]): Presented[] {
  const seen = new Set([leaf.certificate.raw.toString('latin1')]);
  return others
    .filter((one) => one !== null)
    .filter((one) => {
      const der = one.certificate.raw.toString('latin1');
      if (seen.has(der) || bundle.anchors.get(one.facts.subject)?.some((anchor) => anchor.der === der)) return false;
      seen.add(der);
      return true;
    });
}

/** A certificate that cannot be read can be on no path; the others may do without it. */
function presented(certificate: X509Certificate): Presented | null {
  try {
    return { certificate, facts: readCertificate(certificate.raw) };
  } catch (error) {
    if (error instanceof DerError) return null;
    throw error;
  }
}

function maySign({ keyUsage }: CertificateFacts): boolean {
  return keyUsage === null || (keyUsage & keyUsages.keyCertSign) !== 0;
}

function isForClients(purposes: readonly string[]): boolean {
  return purposes.includes(clientAuth) || purposes.includes(anyPurpose);
}

function refuse(reason: RefusalReason, detail: string): Refusal {
  return { ok: false, reason, detail };
}

/** The subject for a message. Whoever made the certificate chose it, so it is cut. */
function quoted({ certificate }: Presented): string {
  return `"${oneLine(certificate.subject).slice(0, 200)}"`;
}

function stamp(time: number): string {
  return `${new Date(time).toISOString().slice(0, 19)}Z`;
}
