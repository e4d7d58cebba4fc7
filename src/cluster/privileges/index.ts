export { type Account, type Identity, resolveUser, workerIdentity } from './accounts.ts';
export { disableCoreDumps } from './core-dumps.ts';
export { dropPrivileges } from './drop.ts';
export { type PrivilegeCondition, type PrivilegeFacts, privilegeFindings } from './findings.ts';
export { findInspector, refuseInspector, type Uninspected, withoutInspection } from './inspection.ts';
export { type LimitOptions, limitCapabilities } from './limit.ts';
