import { createECDH, hash, type X509Certificate } from 'node:crypto';
import { subjectPublicKeyInfo } from './public-key-info.ts';

/** PrivateKeyInfo of a P-256 key with its public key, up to the scalar (RFC 5208 §5, RFC 5915 §3): every byte of it is fixed. */
const head = Buffer.from('308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b0201010420', 'hex');
/** Between the scalar and the point. */
const middle = Buffer.from('a144034200', 'hex');
/** SubjectPublicKeyInfo of a P-256 key, up to the point (RFC 5480 §2). */
const infoHead = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d030107034200', 'hex');
const scalarSize = 32;
const pointSize = 65;
const keySize = head.length + scalarSize + middle.length + pointSize;

/** A private key that was shown to be whole: its public half was computed from the secret one. */
export interface P256Key {
  /** The point, uncompressed. */
  readonly point: Buffer;
  /** PKCS#8. */
  readonly pem: string;
}

/**
 * Reads the one form of key that nearly every ECDSA certificate comes with: P-256 in PKCS#8, as OpenSSL writes it. OpenSSL itself takes ten
 * times as long over it, which with thousands of certificates is most of a start.
 * @param pem a block with the label `PRIVATE KEY`
 * @returns null when it is anything else, or not whole: then OpenSSL has to say what it is
 */
export function readP256Key(pem: string): P256Key | null {
  const bytes = Buffer.from(pem.slice(pem.indexOf('\n') + 1, pem.lastIndexOf('-----END ')), 'base64');
  try {
    if (bytes.length !== keySize || !startsWith(bytes, head, 0)) return null;
    const scalar = bytes.subarray(head.length, head.length + scalarSize);
    const point = bytes.subarray(keySize - pointSize);
    if (!startsWith(bytes, middle, head.length + scalarSize)) return null;
    const curve = createECDH('prime256v1');
    curve.setPrivateKey(scalar);
    if (!curve.getPublicKey().equals(point)) return null;
    return { point: Buffer.from(point), pem: encode(bytes) };
  } catch {
    // A scalar out of range.
    return null;
  } finally {
    bytes.fill(0);
  }
}

/**
 * SHA-256 of the SubjectPublicKeyInfo of a certificate, lower-case hex, when that is the public half of a key.
 * @returns null when it is not
 */
export function publicHalf256(certificate: X509Certificate, { point }: P256Key): string | null {
  const info = subjectPublicKeyInfo(certificate.raw);
  if (info?.length !== infoHead.length + pointSize || !startsWith(info, infoHead, 0)) return null;
  return info.subarray(infoHead.length).equals(point) ? hash('sha256', info) : null;
}

function startsWith(bytes: Buffer, part: Buffer, at: number): boolean {
  return bytes.compare(part, 0, part.length, at, at + part.length) === 0;
}

function encode(bytes: Buffer): string {
  const text = bytes.toString('base64');
  const lines = `${text.slice(0, 64)}\n${text.slice(64, 128)}\n${text.slice(128)}`;
  return `-----BEGIN PRIVATE KEY-----\n${lines}\n-----END PRIVATE KEY-----\n`;
}
