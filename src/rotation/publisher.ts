import type { TrustBundle, ValidatedIdentity } from '../certificates/index.ts';
import { ClientTrust, type ConnectionRegistry } from '../connections/index.ts';
import type { Finding } from '../errors.ts';
import type { ContextStore, Target } from '../tls/index.ts';

/** What is served, as far as rotation needs to know. */
export interface PublishedGeneration {
  readonly number: number;
  readonly served: ReadonlyMap<string, PublishedIdentity>;
  readonly canaries: ReadonlyMap<string, PublishedIdentity>;
  readonly bundles: ReadonlyMap<string, TrustBundle>;
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
  prepare(target: Target, now: number): Promise<Publication>;
  /**
   * Asks the listeners from outside what they show.
   * @param ids of the identities to ask for
   * @returns those of which another certificate was shown than is published
   */
  confirm(ids: readonly string[]): Promise<readonly string[]>;
  /** Cuts the connections on some certificates within a second. @returns how many */
  cut(fingerprints: ReadonlySet<string>): Promise<number>;
}

/** Asks a listener for a name. @returns whether it showed the chain; null when it could not be asked */
export type Confirmation = (identity: ValidatedIdentity) => Promise<boolean | null>;

/** Publishes to the context store and the connections of this process. */
export class LocalPublisher implements GenerationPublisher {
  readonly #store: ContextStore;
  readonly #connections: ConnectionRegistry;
  readonly #untrusted: 'drain' | 'cut';
  readonly #trust: ClientTrust;
  #confirmation: Confirmation = async () => null;

  /** @param untrusted what is done with connections whose client is no longer trusted */
  constructor(store: ContextStore, connections: ConnectionRegistry, untrusted: 'drain' | 'cut' = 'drain') {
    this.#store = store;
    this.#connections = connections;
    this.#untrusted = untrusted;
    this.#trust = new ClientTrust((name) => store.current.bundles.get(name));
  }

  get current(): PublishedGeneration {
    return this.#store.current;
  }

  /** From now on there are listeners to ask. */
  confirmBy(confirmation: Confirmation): void {
    this.#confirmation = confirmation;
  }

  async prepare(target: Target, now: number): Promise<Publication> {
    const before = this.#store.current.bundles;
    const prepared = await this.#store.prepare(target, now);
    return {
      failures: prepared.failures,
      commit: async () => {
        const drained = this.#connections.retire(prepared.commit());
        if (before !== this.#store.current.bundles) await this.#recheckClients();
        return drained;
      },
      abort: () => prepared.abort(),
    };
  }

  async confirm(ids: readonly string[]): Promise<readonly string[]> {
    const wrong: string[] = [];
    for (const id of ids) {
      const served = this.current.served.get(id);
      if (served && (await this.#confirmation(served.identity)) === false) wrong.push(id);
    }
    return wrong;
  }

  /** The bundles changed: connections live on only as far as they vouch for the client. */
  async #recheckClients(): Promise<void> {
    await this.#connections.retireClients(
      ({ client, reliedOn }) =>
        client !== null && [...reliedOn].every((name) => this.#trust.verdictOn(client, name).ok),
      this.#untrusted,
    );
  }

  async cut(fingerprints: ReadonlySet<string>): Promise<number> {
    return this.#connections.cut(fingerprints);
  }
}
