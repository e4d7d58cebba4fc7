import { createHash, X509Certificate } from 'node:crypto';
import { type ErrorCode, type Finding, finding, type Severity } from '../errors.ts';
import { buildChain, type Chain } from './chain.ts';
import { knownCertificate } from './known-certificates.ts';
import { isServableName, namesOf, normalizeName } from './names.ts';
import { isCertificateLabel, isKeyLabel, parsePem } from './pem.ts';
import { openPrivateKey, type PrivateKey } from './private-key.ts';
import { Secret } from './secret.ts';
import type { IdentityMaterial, LeafFacts, ValidatedIdentity } from './types.ts';

/** What validation says: the identity when it can be served, and everything found. */
export interface Validation {
  readonly identity: ValidatedIdentity | null;
  readonly findings: readonly Finding[];
}

/** What is done about something that is wrong and does not keep a certificate from working. */
export type GateAction = 'reject' | 'warn' | 'ignore';

/** What the operator decides about, of all that validation finds. */
export interface ValidationPolicy {
  readonly chainIncomplete: GateAction;
  /** The chain does not end in one of the given authorities. */
  readonly chainUnanchored: GateAction;
  /** The extended key usage does not allow TLS servers. */
  readonly wrongUsage: GateAction;
  /** MD5 or SHA-1. */
  readonly weakSignature: GateAction;
}

export const defaultValidation: ValidationPolicy = {
  chainIncomplete: 'warn',
  chainUnanchored: 'reject',
  wrongUsage: 'reject',
  weakSignature: 'reject',
};

const serverAuth = '1.3.6.1.5.5.7.3.1';
const anyExtendedKeyUsage = '2.5.29.37.0';

/**
 * Checks that an identity can be served: the key opens, belongs to a certificate, the chain links, names, strength, purpose.
 * Dates are not judged here: they change without the files changing (see `validityOf`). Pure.
 * @param policy what is done about what does not keep it from working
 */
export function validate(material: IdentityMaterial, policy: ValidationPolicy = defaultValidation): Validation {
  const findings: Finding[] = [];
  const actions = actionsOf(policy);
  const found = (code: ErrorCode, usual: Severity, file: string, message?: string) => {
    const action = actions[code];
    if (action === 'ignore') return;
    const severity = action === undefined ? usual : action === 'reject' ? 'error' : 'warning';
    findings.push(finding(code, severity, { file, identity: material.id, ...(message ? { message } : {}) }));
  };
  const certificates = readCertificates(material, found);
  const key = readKey(material, found);
  if (!certificates || !key) return { identity: null, findings };

  const chain = buildChain(certificates, key.owns.bind(key));
  if (!chain) {
    const { certificate, key: keyFile } = material.files;
    const message =
      certificate === keyFile ? undefined : `the private key in ${keyFile} does not belong to ${certificate}`;
    found('KEY_MISMATCH', 'error', keyFile, message);
    return { identity: null, findings };
  }
  if (!key.signsFor(chain.leaf)) {
    found(
      'KEY_UNPARSABLE',
      'error',
      material.files.key,
      `the private key in ${material.files.key} is damaged: it signs nothing valid`,
    );
    return { identity: null, findings };
  }
  const file = material.files.certificate;
  reportChain(chain, file, found);
  reportStrength(chain, key, file, found);
  const names = servedNames(material, chain.leaf, file, found);
  if (findings.some((item) => item.severity === 'error')) return { identity: null, findings };

  const identity = {
    id: material.id,
    source: material.source,
    files: material.files,
    names,
    fingerprint: fingerprintOf(chain.certificates),
    leaf: factsOf(chain.leaf, key),
    chainPem: chain.certificates.map((certificate) => certificate.toString()).join(''),
    keyPem: new Secret(key.toPem()),
  } as unknown as ValidatedIdentity;
  return { identity, findings };
}

function actionsOf(policy: ValidationPolicy): Partial<Record<ErrorCode, GateAction>> {
  const { chainIncomplete, wrongUsage, weakSignature } = policy;
  return { CHAIN_INCOMPLETE: chainIncomplete, CERT_WRONG_EKU: wrongUsage, SIGNATURE_WEAK: weakSignature };
}

type Report = (code: ErrorCode, severity: Severity, file: string, message?: string) => void;

function readCertificates(material: IdentityMaterial, found: Report): X509Certificate[] | null {
  const file = material.files.certificate;
  const { blocks, unfinished } = parsePem(material.certificatePem);
  if (unfinished.some(isCertificateLabel)) {
    found('CERT_UNPARSABLE', 'error', file, `${file} ends in the middle of a certificate`);
    return null;
  }
  const pems = blocks.filter((block) => isCertificateLabel(block.label));
  if (pems.length === 0) {
    found('CERT_NOT_PEM', 'error', file);
    return null;
  }
  const certificates: X509Certificate[] = [];
  for (const [i, block] of pems.entries()) {
    try {
      certificates.push(i === 0 ? new X509Certificate(block.pem) : knownCertificate(block.pem));
    } catch {
      found('CERT_UNPARSABLE', 'error', file, `certificate ${i + 1} of ${pems.length} in ${file} is damaged`);
      return null;
    }
  }
  return certificates;
}

function readKey(material: IdentityMaterial, found: Report): PrivateKey | null {
  const file = material.files.key;
  const { blocks, unfinished } = parsePem(material.keyPem.reveal());
  const block = blocks.find((candidate) => isKeyLabel(candidate.label));
  if (!block) {
    const cut = unfinished.some(isKeyLabel);
    const message = cut ? `${file} ends in the middle of the private key` : `${file} holds no PEM private key`;
    found('KEY_UNPARSABLE', 'error', file, message);
    return null;
  }
  const encrypted = block.label === 'ENCRYPTED PRIVATE KEY' || /^Proc-Type: *4, *ENCRYPTED/m.test(block.pem);
  if (encrypted && !material.passphrase) {
    found('KEY_PASSPHRASE_MISSING', 'error', file);
    return null;
  }
  try {
    return openPrivateKey(block, material.passphrase);
  } catch {
    // The cause is not handed on: it may quote what was read.
    found(encrypted ? 'KEY_PASSPHRASE_WRONG' : 'KEY_UNPARSABLE', 'error', file);
    return null;
  }
}

function reportChain(chain: Chain, file: string, found: Report): void {
  if (chain.damaged) {
    const subject = oneLine(chain.damaged.subject);
    found(
      'CERT_UNPARSABLE',
      'error',
      file,
      `"${subject}" in ${file} is damaged: its issuer has not signed what it says`,
    );
    return;
  }
  if (chain.reordered && chain.strangers.length === 0) found('CERT_ORDER', 'warning', file);
  for (const stranger of chain.strangers) {
    const subject = oneLine(stranger.subject);
    found('CHAIN_BROKEN', 'warning', file, `"${subject}" in ${file} certifies nothing in the chain and is left out`);
  }
  if (chain.incomplete) found('CHAIN_INCOMPLETE', 'warning', file);
  if (chain.leaf.ca) found('CERT_IS_CA', 'warning', file);
  const usages = chain.leaf.keyUsage as string[] | undefined;
  if (usages && !usages.includes(serverAuth) && !usages.includes(anyExtendedKeyUsage)) {
    found('CERT_WRONG_EKU', 'error', file);
  }
}

/** What OpenSSL's security level 2 refuses (112 bits), said in words. */
function reportStrength(chain: Chain, key: PrivateKey, file: string, found: Report): void {
  const bits = key.modulusLength;
  if (bits !== undefined && bits < 2048) found('KEY_WEAK', 'error', file, `the RSA key has only ${bits} bits`);
  const { curve } = key;
  if (curve !== undefined && /^(secp(1[0-9]{2}|2[01][0-9])|prime192|sect(1|20))/.test(curve)) {
    found('KEY_WEAK', 'error', file, `the curve ${curve} is too weak`);
  }
  for (const certificate of chain.certificates) {
    if (certificate.subject === certificate.issuer) continue;
    const algorithm = certificate.signatureAlgorithm ?? '';
    if (/md5|sha-?1(?![0-9])|with-?sha1/i.test(algorithm)) {
      found('SIGNATURE_WEAK', 'error', file, `"${oneLine(certificate.subject)}" is signed with ${algorithm}`);
    }
  }
}

function servedNames(material: IdentityMaterial, leaf: X509Certificate, file: string, found: Report): string[] {
  if (material.names) return material.names.map(normalizeName).filter(isServableName);
  const { names, unusable } = namesOf(leaf);
  for (const name of unusable) found('CERT_BAD_NAME', 'warning', file, `the name "${name}" can never match a host`);
  if (names.length === 0 && !leaf.subjectAltName?.includes('IP Address:')) found('CERT_NO_NAMES', 'warning', file);
  return [...names];
}

function fingerprintOf(chain: readonly X509Certificate[]): string {
  const hash = createHash('sha256');
  for (const certificate of chain) hash.update(certificate.raw);
  return hash.digest('hex');
}

function factsOf(leaf: X509Certificate, key: PrivateKey): LeafFacts {
  return {
    fingerprint256: leaf.fingerprint256.replaceAll(':', '').toLowerCase(),
    serialNumber: leaf.serialNumber.toLowerCase(),
    subject: oneLine(leaf.subject),
    issuer: oneLine(leaf.issuer),
    keyType: key.type,
    publicKey256: key.publicKey256(leaf),
    notBefore: Date.parse(leaf.validFrom),
    notAfter: Date.parse(leaf.validTo),
  };
}

/** Node separates the parts of a distinguished name with line feeds. */
function oneLine(name: string): string {
  return name.replaceAll('\n', ', ');
}
