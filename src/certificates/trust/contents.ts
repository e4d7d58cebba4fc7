import { X509Certificate } from 'node:crypto';
import { parsePem } from '../pem.ts';
import { type CertificateFacts, readCertificate } from './certificate.ts';
import { type Crl, readCrl } from './crl.ts';
import { DerError } from './der.ts';

/** A certificate with what Node does not tell of it. */
export interface ReadCertificate {
  readonly certificate: X509Certificate;
  readonly facts: CertificateFacts;
}

/** What a file of a trust bundle holds, in its order. */
export interface TrustContents {
  readonly certificates: readonly ReadCertificate[];
  readonly crls: readonly Crl[];
}

/** Why a file of a trust bundle cannot be used. The message goes on from the name of the file. */
export class TrustContentsError extends Error {}

/**
 * Reads a file of certificates and CRLs: PEM (RFC 7468), with text between the blocks, or one of them in DER.
 * @throws TrustContentsError when any part of it is damaged: one that is passed over could be the one that is needed
 */
export function readTrustContents(bytes: Buffer): TrustContents {
  if (bytes.includes('-----BEGIN ') || bytes.includes('-----END ')) return readPem(bytes);
  if (bytes[0] === 0x30) return readDer(bytes);
  throw new TrustContentsError(/\S/.test(bytes.toString('latin1')) ? 'is neither PEM nor DER' : 'is empty');
}

function readPem(bytes: Buffer): TrustContents {
  const text = bytes.toString('latin1').replace(/^\xef\xbb\xbf/, '');
  const { blocks, unfinished } = parsePem(text);
  const boundaries = text.match(/-----(BEGIN|END) /g)?.length ?? 0;
  if (unfinished.length > 0) throw new TrustContentsError('ends in the middle of a block');
  if (boundaries !== 2 * blocks.length) throw new TrustContentsError('has a block without beginning or end');
  const certificates: ReadCertificate[] = [];
  const crls: Crl[] = [];
  for (const [i, { label, pem }] of blocks.entries()) {
    const where = `${i + 1} of ${blocks.length} blocks`;
    if (label === 'CERTIFICATE' || label === 'X509 CERTIFICATE') {
      certificates.push(guarded(`has a damaged certificate (${where})`, () => certificateOf(decoded(pem))));
    } else if (label === 'X509 CRL' || label === 'CRL') {
      crls.push(guarded(`has a CRL that cannot be used (${where})`, () => readCrl(decoded(pem))));
    } else if (label === 'TRUSTED CERTIFICATE') {
      // Its trust settings would be lost without a word.
      throw new TrustContentsError('has a TRUSTED CERTIFICATE; write it as CERTIFICATE with openssl x509');
    }
  }
  return { certificates, crls };
}

function readDer(bytes: Buffer): TrustContents {
  if (isReadable(() => readCertificate(bytes))) {
    return { certificates: [guarded('is a damaged certificate', () => certificateOf(bytes))], crls: [] };
  }
  const crl = guarded('is neither a certificate nor a CRL that can be used', () => readCrl(bytes));
  return { certificates: [], crls: [crl] };
}

function isReadable(read: () => unknown): boolean {
  try {
    read();
    return true;
  } catch (error) {
    if (error instanceof DerError) return false;
    throw error;
  }
}

function guarded<T>(what: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    // OpenSSL's own messages say nothing that an operator can use.
    throw new TrustContentsError(error instanceof DerError ? `${what}: ${error.message}` : what);
  }
}

function certificateOf(der: Buffer): ReadCertificate {
  const facts = readCertificate(der);
  const certificate = new X509Certificate(der);
  // Throws for a key of a kind that is not known, which no signature could be checked with.
  void certificate.publicKey;
  return { certificate, facts };
}

/** The bytes of a block. `Buffer` passes over what is no base64, and so over damage. */
function decoded(pem: string): Buffer {
  const base64 = pem.trimEnd().split('\n').slice(1, -1).join('').replace(/[ \t]/g, '');
  if (base64.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(base64)) throw new DerError('it is not base64');
  return Buffer.from(base64, 'base64');
}
