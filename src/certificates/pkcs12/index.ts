/**
 * PKCS#12 keystores (RFC 7292).
 *
 *   Keystore ── KeystoreReader ──▶ decoding thread: openKeystore ──▶ IdentityMaterial
 */
export { type Keystore, type KeystoreMaterial, KeystoreReader } from './keystore-reader.ts';
