import { createHash, type KeyObject, type X509Certificate } from 'node:crypto';
import { type Finding, finding } from '../../errors.ts';
import type { TrustMaterial } from '../types.ts';
import { type CertificateFacts, keyUsages } from './certificate.ts';
import { readTrustContents, TrustContentsError } from './contents.ts';
import { type Crl, isCrlSignedBy } from './crl.ts';

declare const trusted: unique symbol;

/** A CA certificate of a bundle: each is a trust anchor (RFC 5280 §6.1 leaves the choice to who trusts), also an intermediate. */
export interface TrustAnchor {
  readonly certificate: X509Certificate;
  readonly facts: CertificateFacts;
  readonly publicKey: KeyObject;
  /** The DER, one character per byte. */
  readonly der: string;
  /** Where it was found first. */
  readonly file: string;
}

/** A CRL of a bundle, for what is said about it. */
export interface TrustCrl {
  readonly file: string;
  readonly issuer: string;
  /** Milliseconds since 1970; null when it does not say. */
  readonly nextUpdate: number | null;
  readonly entries: number;
}

/** CA certificates and CRLs that were found to be whole. Only `validateBundle` makes one. Immutable. */
export interface TrustBundle {
  readonly [trusted]: true;
  readonly id: string;
  readonly source: string;
  /** What it was made of. */
  readonly material: TrustMaterial;
  /** Paths, in the order of the material. */
  readonly files: readonly string[];
  /** SHA-256 over the set of CA certificates and CRLs, lower-case hex: neither order, nor repetition, nor files change it. */
  readonly fingerprint: string;
  /** The CA certificates, each in PEM; equal for equal fingerprints. */
  readonly caPem: readonly string[];
  readonly authorityCount: number;
  readonly crlCount: number;
  /** When the first of the CA certificates expires, milliseconds since 1970. */
  readonly notAfter: number;
  /** When the first of the CRLs should have been replaced, milliseconds since 1970; null without one that says so. */
  readonly nextUpdate: number | null;
  /** By the DER of the subject. */
  readonly anchors: ReadonlyMap<string, readonly TrustAnchor[]>;
  /** Serial numbers by the DER of the issuer; none for an issuer without CRL. */
  readonly revoked: ReadonlyMap<string, ReadonlySet<string>>;
  readonly crls: readonly TrustCrl[];
}

/** What validation says: the bundle when all of it can be used, and everything found. */
export interface BundleValidation {
  readonly bundle: TrustBundle | null;
  readonly findings: readonly Finding[];
}

interface FoundCrl {
  readonly crl: Crl;
  readonly file: string;
}

/**
 * Reads and checks a trust bundle. Any error rejects the whole of it: with a part missing it would refuse clients it should let in, or
 * let in what is revoked. Pure; dates are judged by {@link bundleFindings}.
 */
export function validateBundle(material: TrustMaterial): BundleValidation {
  const findings: Finding[] = [];
  const anchors = new Map<string, TrustAnchor>();
  const crls = new Map<string, FoundCrl>();
  for (const { path, bytes } of material.files) {
    const found = (code: Finding['code'], severity: Finding['severity'], message: string) =>
      findings.push(finding(code, severity, { message, file: path, identity: material.id }));
    try {
      const contents = readTrustContents(bytes);
      for (const { certificate, facts } of contents.certificates) {
        const der = certificate.raw.toString('latin1');
        const anchor = { certificate, facts, publicKey: certificate.publicKey, der, file: path };
        if (!facts.ca) found('TRUST_NOT_CA', 'warning', `"${oneLine(certificate.subject)}" in ${path} is not a CA`);
        else if (!anchors.has(der)) anchors.set(der, anchor);
      }
      for (const crl of contents.crls) {
        const der = crl.der.toString('latin1');
        if (!crls.has(der)) crls.set(der, { crl, file: path });
      }
    } catch (error) {
      if (!(error instanceof TrustContentsError)) throw error;
      found('TRUST_UNPARSABLE', 'error', `${path} ${error.message}`);
    }
  }
  if (findings.some(({ severity }) => severity === 'error')) return { bundle: null, findings };
  if (anchors.size === 0) {
    const file = material.files[0]?.path;
    const empty = finding('TRUST_EMPTY', 'error', { identity: material.id, ...(file === undefined ? {} : { file }) });
    return { bundle: null, findings: [...findings, empty] };
  }
  const index = Map.groupBy(anchors.values(), ({ facts }) => facts.subject);
  for (const { crl, file } of crls.values()) {
    const why = unverified(crl, index.get(crl.issuer) ?? []);
    if (!why) continue;
    findings.push(
      finding('CRL_UNVERIFIED', 'error', { message: `a CRL in ${file} ${why}`, file, identity: material.id }),
    );
  }
  if (findings.some(({ severity }) => severity === 'error')) return { bundle: null, findings };
  return { bundle: makeBundle(material, [...anchors.values()], [...crls.values()], index), findings };
}

/** Why a CRL cannot be believed (RFC 5280 §6.3.3 (f), (g)); null when it can. */
function unverified(crl: Crl, issuers: readonly TrustAnchor[]): string | null {
  if (crl.algorithm.scheme === null) return `is signed in a way that is not accepted (${crl.algorithm.oid})`;
  if (issuers.length === 0) return 'is of an issuer that the bundle has no CA certificate of';
  const signers = issuers.filter(({ publicKey }) => isCrlSignedBy(crl, publicKey));
  if (signers.length === 0) return 'bears a signature that is not one of its issuer';
  const entitled = signers.some(({ facts }) => facts.keyUsage === null || facts.keyUsage & keyUsages.cRLSign);
  return entitled ? null : 'is signed by a CA whose keyUsage does not allow to sign CRLs';
}

function makeBundle(
  material: TrustMaterial,
  anchors: readonly TrustAnchor[],
  found: readonly FoundCrl[],
  index: ReadonlyMap<string, readonly TrustAnchor[]>,
): TrustBundle {
  const sorted = anchors.toSorted((a, b) => (a.der < b.der ? -1 : 1));
  const revoked = new Map<string, Set<string>>();
  // By name and not by key: the CRL of a renewed CA also names what was issued under its old key.
  for (const { crl } of found) revoked.set(crl.issuer, crl.revoked.union(revoked.get(crl.issuer) ?? new Set()));
  const crls = found.map(({ crl, file }) => {
    const issuer = oneLine(index.get(crl.issuer)?.[0]?.certificate.subject ?? '');
    return { file, issuer, nextUpdate: crl.nextUpdate, entries: crl.revoked.size };
  });
  const updates = crls.flatMap(({ nextUpdate }) => nextUpdate ?? []);
  return Object.freeze({
    id: material.id,
    source: material.source,
    material,
    files: material.files.map(({ path }) => path),
    fingerprint: fingerprintOf([
      ...sorted.map(({ der }) => der),
      ...found.map(({ crl }) => crl.der.toString('latin1')).sort(),
    ]),
    caPem: sorted.map(({ certificate }) => certificate.toString()),
    authorityCount: sorted.length,
    crlCount: crls.length,
    notAfter: Math.min(...sorted.map(({ facts }) => facts.notAfter)),
    nextUpdate: updates.length > 0 ? Math.min(...updates) : null,
    anchors: index,
    revoked,
    crls,
  }) as unknown as TrustBundle;
}

/**
 * What is wrong with a bundle at a moment: CA certificates that expired (TRUST_EXPIRED), CRLs past their nextUpdate (CRL_OUTDATED). Only
 * warnings: the bundle is used as it is. Pure.
 * @param now milliseconds since 1970
 */
export function bundleFindings(bundle: TrustBundle, now: number): Finding[] {
  const findings: Finding[] = [];
  const identity = bundle.id;
  for (const { certificate, facts, file } of [...bundle.anchors.values()].flat()) {
    if (now <= facts.notAfter) continue;
    const message = `the CA certificate "${oneLine(certificate.subject)}" in ${file} expired ${day(facts.notAfter)}`;
    findings.push(finding('TRUST_EXPIRED', 'warning', { message, file, identity }));
  }
  for (const { file, issuer, nextUpdate } of bundle.crls) {
    if (nextUpdate === null || now <= nextUpdate) continue;
    const message = `the CRL of "${issuer}" in ${file} was to be replaced by ${day(nextUpdate)}`;
    findings.push(finding('CRL_OUTDATED', 'warning', { message, file, identity }));
  }
  return findings;
}

function day(time: number): string {
  return new Date(time).toISOString().slice(0, 19).concat('Z');
}

/** DER tells its own length, so that parts put one after another cannot be taken for others. */
function fingerprintOf(ders: readonly string[]): string {
  const hash = createHash('sha256');
  for (const der of ders) hash.update(der, 'latin1');
  return hash.digest('hex');
}

/** Node separates the parts of a distinguished name with line feeds. */
export function oneLine(name: string): string {
  return name.replaceAll('\n', ', ');
}
