/**
 * Certificates: where they come from, what they say, whether they can be served.
 *
 *   CertificateSource ── load ──▶ IdentityMaterial ── validate ──▶ ValidatedIdentity
 */
export { type DevelopmentCertificate, issueDevelopmentCertificate } from './development.ts';
export { coversHost, isServableName, normalizeName } from './names.ts';
export { Secret } from './secret.ts';
export { PemDirectorySource } from './sources/pem-directory.ts';
export { type PemFilesOptions, PemFilesSource } from './sources/pem-files.ts';
export type {
  CertificateSource,
  IdentityFiles,
  IdentityMaterial,
  LeafFacts,
  SourceMaterial,
  TrustMaterial,
  ValidatedIdentity,
  Validity,
} from './types.ts';
export { validityOf } from './types.ts';
export { type Validation, validate } from './validate.ts';
