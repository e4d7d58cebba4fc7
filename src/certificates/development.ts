import { createPrivateKey, generateKeyPair, randomBytes, X509Certificate } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import forge from 'node-forge';
import { withDirectoryLock } from './directory-lock.ts';

/** Where a development certificate was written. */
export interface DevelopmentCertificate {
  readonly authorityFile: string;
  readonly certificateFile: string;
  readonly keyFile: string;
  readonly names: readonly string[];
  readonly notAfter: Date;
  /** Lower-case hex. */
  readonly serialNumber: string;
}

export interface DevelopmentOptions {
  /** Milliseconds from now to the end of the certificate, rounded up to a whole second; 30 days by default. */
  readonly lifetime?: number;
  /** Milliseconds since 1970. */
  readonly now?: number;
}

const day = 24 * 60 * 60 * 1000;
/** Milliseconds that the beginning lies behind: clocks differ, between a container and its host too. */
export const backdating = day / 24;
export const defaultLifetime = 30 * day;
const authorityLifetime = 3650 * day;
/** The common name of a development CA: what tells its leaves from those of the operator. */
export const developmentAuthority = 'Swivel development CA';

/** The files of a development certificate in its directory. */
export function developmentFiles(directory: string) {
  return {
    authorityFile: join(directory, 'ca.crt'),
    certificateFile: join(directory, 'tls.crt'),
    keyFile: join(directory, 'tls.key'),
  };
}

/**
 * Issues a leaf certificate from a development CA, both RSA 2048, and writes `ca.crt`, `tls.crt` and `tls.key` into a
 * directory, each by rename. The CA is made when the directory has none that outlives the leaf; its key stays there as `.ca.key`,
 * hidden, so that a directory source does not take it for an identity. Processes that do so at once wait for one another.
 * @param directory made when missing
 * @param names DNS names and IP addresses, at least one
 * @throws the system's error when the directory cannot be written to
 */
export async function issueDevelopmentCertificate(
  directory: string,
  names: readonly string[],
  options: DevelopmentOptions = {},
): Promise<DevelopmentCertificate> {
  await mkdir(directory, { recursive: true });
  return withDirectoryLock(directory, () => issueUnderLock(directory, names, options));
}

/** {@link issueDevelopmentCertificate} for whoever holds the lock of the directory. */
export async function issueUnderLock(
  directory: string,
  names: readonly string[],
  { lifetime = defaultLifetime, now = Date.now() }: DevelopmentOptions,
): Promise<DevelopmentCertificate> {
  const notAfter = new Date(Math.ceil((now + lifetime) / 1000) * 1000);
  const authority = (await loadAuthority(directory, notAfter)) ?? (await createAuthority(directory, now, lifetime));
  const { certificate, key } = await makeCertificate({
    subject: [{ name: 'commonName', value: names[0] ?? 'localhost' }],
    issuer: authority,
    notBefore: new Date(now - backdating),
    notAfter,
    extensions: [
      { name: 'basicConstraints', cA: false, critical: true },
      { name: 'keyUsage', digitalSignature: true, keyEncipherment: true, critical: true },
      { name: 'extKeyUsage', serverAuth: true },
      {
        name: 'subjectAltName',
        altNames: names.map((name) => (isIP(name) ? { type: 7, ip: name } : { type: 2, value: name })),
      },
    ],
  });
  const files = developmentFiles(directory);
  await replace(files.keyFile, key, 0o600);
  await replace(files.certificateFile, forge.pki.certificateToPem(certificate), 0o644);
  return { ...files, names, notAfter, serialNumber: certificate.serialNumber };
}

interface Authority {
  readonly certificate: forge.pki.Certificate;
  readonly key: forge.pki.rsa.PrivateKey;
}

/** The CA of a directory; null when there is none, its key is not its own, or it ends before what it is to issue. */
async function loadAuthority(directory: string, until: Date): Promise<Authority | null> {
  try {
    const pem = await readFile(join(directory, 'ca.crt'), 'latin1');
    const keyPem = await readFile(join(directory, '.ca.key'), 'latin1');
    if (!new X509Certificate(pem).checkPrivateKey(createPrivateKey(keyPem))) return null;
    const certificate = forge.pki.certificateFromPem(pem);
    return certificate.validity.notAfter > until ? { certificate, key: forge.pki.privateKeyFromPem(keyPem) } : null;
  } catch {
    return null;
  }
}

async function createAuthority(directory: string, now: number, leafLifetime: number): Promise<Authority> {
  const { certificate, key } = await makeCertificate({
    subject: [{ name: 'commonName', value: developmentAuthority }],
    notBefore: new Date(now - backdating),
    // Twice: an authority that its first leaf outlived would be another one at each renewal.
    notAfter: new Date(now + Math.max(authorityLifetime, 2 * leafLifetime)),
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
      { name: 'subjectKeyIdentifier' },
    ],
  });
  await replace(join(directory, '.ca.key'), key, 0o600);
  await replace(join(directory, 'ca.crt'), forge.pki.certificateToPem(certificate), 0o644);
  return { certificate, key: forge.pki.privateKeyFromPem(key) };
}

interface CertificateRequest {
  readonly subject: forge.pki.CertificateField[];
  /** Self-signed when left out. */
  readonly issuer?: Authority;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly extensions: object[];
}

/** The key is made by node:crypto, which is a hundred times faster at it; forge builds and signs the certificate. */
async function makeCertificate(request: CertificateRequest) {
  const { privateKey, publicKey } = await promisify(generateKeyPair)('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = forge.pki.publicKeyFromPem(publicKey);
  certificate.serialNumber = createSerialNumber();
  certificate.validity.notBefore = request.notBefore;
  certificate.validity.notAfter = request.notAfter;
  certificate.setSubject(request.subject);
  certificate.setIssuer(request.issuer?.certificate.subject.attributes ?? request.subject);
  certificate.setExtensions(request.extensions);
  certificate.sign(request.issuer?.key ?? forge.pki.privateKeyFromPem(privateKey), forge.md.sha256.create());
  return { certificate, key: privateKey };
}

/** 128 random bits as a positive integer without padding: the first byte neither negative nor zero (RFC 5280 §4.1.2.2, X.690 §8.3). */
function createSerialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0] = 0x40 | ((bytes[0] ?? 0) & 0x3f);
  return bytes.toString('hex');
}

async function replace(path: string, text: string, mode: number): Promise<void> {
  const temporary = join(path, '..', `.${randomBytes(6).toString('hex')}.tmp`);
  try {
    await writeFile(temporary, text, { mode });
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw error;
  }
}
