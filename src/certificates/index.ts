/**
 * Certificates: where they come from, what they say, whether they can be served.
 *
 *   CertificateSource ── load ──▶ IdentityMaterial ── validate ──▶ ValidatedIdentity
 *                                 TrustMaterial ── validateBundle ──▶ TrustBundle ── verifyClient ──▶ ClientVerdict
 */
export { type DevelopmentCertificate, type DevelopmentOptions, issueDevelopmentCertificate } from './development.ts';
export { alternativeNames, coversHost, isServableName, normalizeName } from './names.ts';
export type {
  PluginAnswer,
  PluginCertificates,
  PluginContext,
  PluginFactory,
  PluginIdentity,
  PluginLoadOptions,
} from './plugin/types.ts';
export { Secret } from './secret.ts';
export { DevelopmentSource, type DevelopmentSourceOptions } from './sources/development.ts';
export { PemDirectorySource } from './sources/pem-directory.ts';
export { type PemFilesOptions, PemFilesSource } from './sources/pem-files.ts';
export { type Pkcs12Options, Pkcs12Source } from './sources/pkcs12.ts';
export { PluginSource, type PluginSourceOptions } from './sources/plugin.ts';
export { TicketKeyFileSource } from './sources/ticket-key-file.ts';
export { type TrustBundleOptions, TrustBundleSource } from './sources/trust-bundle.ts';
export {
  type IdentityParcel,
  packBundle,
  packIdentity,
  unpackBundle,
  unpackIdentity,
} from './transfer.ts';
export { type BundleValidation, bundleFindings, type TrustBundle, validateBundle } from './trust/bundle.ts';
export { type ClientVerdict, isAnchored, type RefusalReason, verifyClient } from './trust/verify.ts';
export type {
  CertificateSource,
  IdentityFiles,
  IdentityMaterial,
  LeafFacts,
  LoadOptions,
  SourceMaterial,
  TicketKeyMaterial,
  TrustMaterial,
  ValidatedIdentity,
  Validity,
} from './types.ts';
export { expiryLead, validityOf } from './types.ts';
export { defaultValidation, type GateAction, type Validation, type ValidationPolicy, validate } from './validate.ts';
