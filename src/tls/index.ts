/**
 * TLS: the current generation of certificates, and the listeners that serve it.
 *
 *   ContextStore.prepare ─▶ PreparedGeneration ─ commit ─▶ Generation ─ resolve ─▶ a context for a handshake
 */
export { formatAddress, isWithoutIpv6, type ListenAddress, listen, listenError, parseAddress } from './addresses.ts';
export { showsOutside } from './confirmation.ts';
export { ContextStore, type ContextStoreOptions, type Presented, type Refusal } from './context-store.ts';
export type { Generation, PreparedGeneration, ServedIdentity, Target } from './generation.ts';
export { exchangedFor } from './holding.ts';
export { lendReads, unlendReads } from './lent-reads.ts';
export { type ListenerEvents, TlsListener, type TlsOptionsOfListener } from './listener.ts';
export { buildNameIndex, lookUp, type NameIndex } from './names.ts';
export { type RehearsalOptions, rehearse, showsChain } from './rehearsal.ts';
export { createTicketKeys } from './ticket-keys.ts';
