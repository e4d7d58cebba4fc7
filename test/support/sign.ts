import './reflect-metadata.ts';
import { webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import { type Hash, type KeyPair, signingKey } from './keys.ts';

x509.cryptoProvider.set(webcrypto as unknown as Crypto);

/** Who signs: a distinguished name and its keys. */
export interface Issuer {
  readonly subject: string;
  readonly keys: KeyPair;
}

export interface CertificateRequest {
  subject: string;
  keys: KeyPair;
  issuer: Issuer;
  hash?: Hash | undefined;
  notBefore: Date;
  notAfter: Date;
  serial?: string | undefined;
  extensions: x509.Extension[];
}

/** Signs a certificate and returns its PEM; key identifiers are added to the given extensions. */
export async function sign(request: CertificateRequest): Promise<string> {
  const { issuer, keys } = request;
  const hash = request.hash ?? 'SHA-256';
  const publicKey = keys.publicKey.export({ type: 'spki', format: 'der' });
  const issuerPublicKey = issuer.keys.publicKey.export({ type: 'spki', format: 'der' });
  const certificate = await x509.X509CertificateGenerator.create({
    subject: request.subject,
    issuer: issuer.subject,
    notBefore: request.notBefore,
    notAfter: request.notAfter,
    publicKey,
    signingKey: signingKey(issuer.keys, hash) as CryptoKey,
    signingAlgorithm: signatureAlgorithm(issuer.keys, hash),
    ...(request.serial === undefined ? {} : { serialNumber: request.serial }),
    extensions: [
      ...request.extensions,
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(issuerPublicKey),
    ],
  });
  return `${certificate.toString('pem')}\n`;
}

/** What WebCrypto calls a signature by these keys. */
export function signatureAlgorithm(keys: KeyPair, hash: Hash): webcrypto.EcdsaParams {
  if (keys.keyType.startsWith('ec-')) return { name: 'ECDSA', hash };
  return { name: keys.keyType === 'ed25519' ? 'Ed25519' : 'RSASSA-PKCS1-v1_5', hash };
}
