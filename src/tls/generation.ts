import type { SecureContext } from 'node:tls';
import type { TrustBundle, ValidatedIdentity } from '../certificates/index.ts';
import type { Finding } from '../errors.ts';
import type { NameIndex } from './names.ts';

/** An identity with the TLS context that serves it. */
export interface ServedIdentity {
  readonly identity: ValidatedIdentity;
  /** For a handshake that begins in this turn of the event loop. Built when it is asked for; throws where OpenSSL refuses to. */
  readonly context: SecureContext;
  /** The generation it came in with. */
  readonly since: number;
  readonly activatedAt: Date;
}

/** Everything that is served, complete and unchangeable. Replaced whole, by one assignment. */
export interface Generation {
  readonly number: number;
  readonly served: ReadonlyMap<string, ServedIdentity>;
  /** What a share of the handshakes gets in place of what is served under the same id. */
  readonly canaries: ReadonlyMap<string, ServedIdentity>;
  /** What client certificates are checked against, by name. */
  readonly bundles: ReadonlyMap<string, TrustBundle>;
  readonly index: NameIndex<ServedIdentity>;
  /** Serves clients without a server name, and unknown names unless those are rejected. Null when nothing is served. */
  readonly fallback: ServedIdentity | null;
  /** Lower-case hex fingerprints of the chains that are served, to some clients at least, and how often. */
  readonly fingerprints: ReadonlyMap<string, number>;
  /** What is worth knowing about the set as a whole. */
  readonly findings: readonly Finding[];
}

/** What a generation is to be made of. */
export interface Target {
  /** The complete set of identities. */
  readonly identities: readonly ValidatedIdentity[];
  readonly canaries: readonly ValidatedIdentity[];
  readonly bundles: readonly TrustBundle[];
  /** What session tickets are sealed with once it is committed, 48 bytes. Sessions made under other keys cannot be resumed then. */
  readonly ticketKeys: Buffer;
  /** Its number; one more than that of the current one when left out. */
  readonly number?: number;
}

/** A generation that was built and is not visible yet. Exactly one of `commit` and `abort` is called. */
export interface PreparedGeneration {
  readonly generation: Generation;
  /** Identities that cannot be served after all; the set holds what they had before. */
  readonly failures: readonly Finding[];
  /** Makes it the current one, synchronously. @returns the fingerprints that are no longer served */
  commit(): ReadonlySet<string>;
  abort(): void;
}

export const emptyGeneration: Generation = {
  number: 0,
  served: new Map(),
  canaries: new Map(),
  bundles: new Map(),
  index: { exact: new Map(), wildcard: new Map(), shadowed: [] },
  fallback: null,
  fingerprints: new Map(),
  findings: [],
};
