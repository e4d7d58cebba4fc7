import { posix } from 'node:path';

/** Extensions of files that hold certificates, the first to be preferred. */
export const certificateExtensions = ['.crt', '.pem', '.cer'];
/** Extensions of files that hold the passphrase of the key, or of the keystore, of the same stem. */
export const passphraseExtensions = ['.pass', '.password'];
const pkcs12Extensions = ['.p12', '.pfx'];
/** Extensions of the files that can be part of an identity. */
export const extensions: ReadonlySet<string> = new Set([
  ...certificateExtensions,
  '.key',
  ...passphraseExtensions,
  ...pkcs12Extensions,
]);

/** certbot's names: the key, the whole chain, and the two parts of it. */
export const certbot = { key: 'privkey.pem', full: 'fullchain.pem', leaf: 'cert.pem', chain: 'chain.pem' };

/** cert-manager's keystores: the same key and certificates as the PEM files beside them, under a passphrase from elsewhere. */
export const certManager = { pem: ['tls.crt', 'tls.key'], keystores: ['keystore.p12', 'truststore.p12'] };

/** Whether a file of this name can be part of an identity. */
export function isWantedName(name: string): boolean {
  return extensions.has(posix.extname(name).toLowerCase());
}

/** Whether a file of this name is a keystore. */
export function isKeystore(name: string): boolean {
  return pkcs12Extensions.includes(posix.extname(name).toLowerCase());
}

/** A base name without its extension. */
export function stemOf(name: string): string {
  return name.slice(0, name.length - posix.extname(name).length);
}
