import { type KeyObject, X509Certificate } from 'node:crypto';
import { rootCertificates } from 'node:tls';

/** Certificates in the order of RFC 8446 §4.4.2, and what had to be done to get there. */
export interface Chain {
  readonly leaf: X509Certificate;
  /** Leaf first, each certified by the next, without a root. */
  readonly certificates: readonly X509Certificate[];
  readonly reordered: boolean;
  /** Certificates that belong to no link of the chain. */
  readonly strangers: readonly X509Certificate[];
  /** One whose issuer is there, and has not signed what it says; null when there is none. */
  readonly damaged: X509Certificate | null;
  /** The chain stops before an authority that clients can know. */
  readonly incomplete: boolean;
}

/**
 * Orders certificates into a chain that starts with the one the key belongs to.
 * @param key the key itself, or what says whether a certificate is its own
 * @returns null when the key belongs to none of them
 */
export function buildChain(
  certificates: readonly X509Certificate[],
  key: KeyObject | ((certificate: X509Certificate) => boolean),
): Chain | null {
  const isOwn = typeof key === 'function' ? key : (certificate: X509Certificate) => certificate.checkPrivateKey(key);
  const leaf = certificates.find(isOwn);
  if (!leaf) return null;
  const rest = certificates.filter((certificate) => certificate !== leaf && !certificate.raw.equals(leaf.raw));
  const chain: X509Certificate[] = [leaf];
  const used = new Set<X509Certificate>();
  let last = leaf;
  while (!isSelfIssued(last)) {
    const issuer = rest.find((candidate) => !used.has(candidate) && certifies(candidate, last));
    if (!issuer) break;
    used.add(issuer);
    chain.push(issuer);
    last = issuer;
  }
  // A root is known to clients or not trusted by them; sending it is of no use to either.
  const sent = chain.length > 1 && isSelfIssued(chain.at(-1) as X509Certificate) ? chain.slice(0, -1) : chain;
  return {
    leaf,
    certificates: sent,
    reordered: certificates[0] !== leaf || !chain.every((certificate, i) => i === 0 || rest[i - 1] === certificate),
    strangers: rest.filter((certificate) => !used.has(certificate)),
    damaged: rest.some((candidate) => shouldCertify(candidate, last)) ? last : null,
    incomplete: isIncomplete(chain),
  };
}

function isSelfIssued(certificate: X509Certificate): boolean {
  return certificate.subject === certificate.issuer && certificate.checkIssued(certificate);
}

function certifies(issuer: X509Certificate, subject: X509Certificate): boolean {
  return issuer.ca && subject.checkIssued(issuer) && subject.verify(issuer.publicKey);
}

/** Of the extensions that name the key of the issuer, and of the subject (RFC 5280 §4.2.1.1, §4.2.1.2), DER. */
const identifierOids = { issuer: Buffer.from('0603551d23', 'hex'), subject: Buffer.from('0603551d0e', 'hex') };

/**
 * Whether an authority is, by name and key identifier, the one that signed a certificate, and has not: the certificate was changed since,
 * as when a new one was written half over an old one. Without identifiers it may be another key of the same name.
 */
function shouldCertify(issuer: X509Certificate, subject: X509Certificate): boolean {
  const identified = subject.raw.includes(identifierOids.issuer) && issuer.raw.includes(identifierOids.subject);
  return identified && issuer.ca && subject.checkIssued(issuer) && !subject.verify(issuer.publicKey);
}

let rootSubjects: Set<string> | null = null;

/**
 * A leaf alone may have been issued by a private root, which is nobody's mistake. It is one when the certificate tells where
 * to fetch its issuer (RFC 5280 §4.2.2.1) and that issuer is no root that clients ship with.
 */
function isIncomplete(chain: readonly X509Certificate[]): boolean {
  const [leaf] = chain;
  if (!leaf || chain.length > 1 || isSelfIssued(leaf)) return false;
  if (!leaf.infoAccess?.includes('CA Issuers')) return false;
  rootSubjects ??= new Set(rootCertificates.map((pem) => new X509Certificate(pem).subject));
  return !rootSubjects.has(leaf.issuer);
}
