/**
 * Connections: who is connected with which certificate, and how they leave.
 *
 *   handshake ─▶ open ─▶ draining ─▶ closed        retire(fingerprints), stop()
 */
export { type ClientCertificate, clientCertificateOf } from './client-certificate.ts';
export { ClientChains } from './client-chains.ts';
export { ClientTrust } from './client-trust.ts';
export { type CertificateTag, Connection, type ProtocolHandler } from './connection.ts';
export {
  type DrainOptions,
  type DrainPlan,
  type DrainStep,
  drainStep,
  idleQuiet,
  type Protocol,
  planCut,
  planRetirement,
  planStop,
} from './policy.ts';
export { type ConnectionCounts, ConnectionRegistry, type ConnectionSummary, type StopResult } from './registry.ts';
