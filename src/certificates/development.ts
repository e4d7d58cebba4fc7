import { generateKeyPair, randomBytes } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import forge from 'node-forge';

/** Where a development certificate was written. */
export interface DevelopmentCertificate {
  readonly authorityFile: string;
  readonly certificateFile: string;
  readonly keyFile: string;
  readonly names: readonly string[];
  readonly notAfter: Date;
}

const day = 24 * 60 * 60 * 1000;
const authorityName = [{ name: 'commonName', value: 'Swivel development CA' }];

/**
 * Issues a leaf certificate from a development CA, both RSA 2048, and writes `ca.crt`, `tls.crt` and `tls.key` into a
 * directory, each by rename. The CA is made when the directory has none; its key stays there as `.ca.key`, hidden, so that a
 * directory source does not take it for an identity.
 * @param directory made when missing
 * @param names DNS names and IP addresses, at least one
 */
export async function issueDevelopmentCertificate(
  directory: string,
  names: readonly string[],
): Promise<DevelopmentCertificate> {
  await mkdir(directory, { recursive: true });
  const authority = (await loadAuthority(directory)) ?? (await createAuthority(directory));
  const { certificate, key } = await makeCertificate({
    subject: [{ name: 'commonName', value: names[0] ?? 'localhost' }],
    issuer: authority,
    days: 30,
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
  const certificateFile = join(directory, 'tls.crt');
  const keyFile = join(directory, 'tls.key');
  await replace(keyFile, key, 0o600);
  await replace(certificateFile, forge.pki.certificateToPem(certificate), 0o644);
  const { notAfter } = certificate.validity;
  return { authorityFile: join(directory, 'ca.crt'), certificateFile, keyFile, names, notAfter };
}

interface Authority {
  readonly certificate: forge.pki.Certificate;
  readonly key: forge.pki.rsa.PrivateKey;
}

async function loadAuthority(directory: string): Promise<Authority | null> {
  try {
    const certificate = forge.pki.certificateFromPem(await readFile(join(directory, 'ca.crt'), 'latin1'));
    const key = forge.pki.privateKeyFromPem(await readFile(join(directory, '.ca.key'), 'latin1'));
    return certificate.validity.notAfter.getTime() > Date.now() + 30 * day ? { certificate, key } : null;
  } catch {
    return null;
  }
}

async function createAuthority(directory: string): Promise<Authority> {
  const { certificate, key } = await makeCertificate({
    subject: authorityName,
    days: 3650,
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
  readonly days: number;
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
  // Behind by an hour: clocks differ, between a container and its host too.
  certificate.validity.notBefore = new Date(Date.now() - day / 24);
  certificate.validity.notAfter = new Date(Date.now() + request.days * day);
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
  await writeFile(temporary, text, { mode });
  await rename(temporary, path);
}
