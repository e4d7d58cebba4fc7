import type { ValidatedIdentity } from '../certificates/index.ts';
import type { ConnectionRegistry } from '../connections/index.ts';
import type { Finding } from '../errors.ts';
import type { ContextStore } from '../tls/index.ts';

/** What is served, as far as rotation needs to know. */
export interface PublishedGeneration {
  readonly number: number;
  readonly served: ReadonlyMap<string, PublishedIdentity>;
  readonly findings: readonly Finding[];
}

export interface PublishedIdentity {
  readonly identity: ValidatedIdentity;
  /** The generation it came in with. */
  readonly since: number;
  readonly activatedAt: Date;
}

/** A generation that every server has accepted and none serves yet. */
export interface Publication {
  /** Identities that could not be made servable; they keep what they have. */
  readonly failures: readonly Finding[];
  /** Serves it everywhere. @returns how many connections drain, by the fingerprint that was retired */
  commit(): Promise<ReadonlyMap<string, number>>;
  abort(): void;
}

/** Hands a generation to whoever serves it, in two steps. */
export interface GenerationPublisher {
  readonly current: PublishedGeneration;
  /** @param now milliseconds since 1970 */
  prepare(identities: readonly ValidatedIdentity[], now: number): Promise<Publication>;
}

/** Publishes to the context store and the connections of this process. */
export class LocalPublisher implements GenerationPublisher {
  readonly #store: ContextStore;
  readonly #connections: ConnectionRegistry;

  constructor(store: ContextStore, connections: ConnectionRegistry) {
    this.#store = store;
    this.#connections = connections;
  }

  get current(): PublishedGeneration {
    return this.#store.current;
  }

  async prepare(identities: readonly ValidatedIdentity[], now: number): Promise<Publication> {
    const prepared = await this.#store.prepare(identities, now);
    return {
      failures: prepared.failures,
      commit: async () => this.#connections.retire(prepared.commit()),
      abort: () => prepared.abort(),
    };
  }
}
