import type { GenerationPublisher, Publication, PublishedGeneration } from '../rotation/index.ts';
import type { ContextStore, ListenAddress, Target } from '../tls/index.ts';
import { showsOutside } from '../tls/index.ts';
import type { Fleet } from './fleet.ts';

/**
 * Publishes to the workers. The primary builds and rehearses each generation first, in a store that serves nobody: what OpenSSL refuses
 * never reaches a worker.
 */
export class ClusterPublisher implements GenerationPublisher {
  readonly #store: ContextStore;
  readonly #fleet: Fleet;
  readonly #addresses: () => readonly ListenAddress[];

  /** @param addresses of the listeners, to ask from outside */
  constructor(store: ContextStore, fleet: Fleet, addresses: () => readonly ListenAddress[]) {
    this.#store = store;
    this.#fleet = fleet;
    this.#addresses = addresses;
  }

  get current(): PublishedGeneration {
    return this.#store.current;
  }

  async prepare(target: Target, now: number): Promise<Publication> {
    const prepared = await this.#store.prepare(target, now);
    const goal = { contents: prepared.generation, ticketKeys: target.ticketKeys, now };
    try {
      const ballot = await this.#fleet.distribution.prepare(goal);
      return {
        failures: [...prepared.failures, ...ballot.failures],
        commit: async () => {
          try {
            prepared.commit();
          } catch (error) {
            ballot.abort();
            throw error;
          }
          const drained = await ballot.commit();
          this.#fleet.sweep();
          return drained;
        },
        abort: () => {
          prepared.abort();
          ballot.abort();
        },
      };
    } catch (error) {
      prepared.abort();
      throw error;
    }
  }

  /**
   * Each worker shakes hands with itself; and who accepts it is asked from outside, as often as there are workers. One that is known to
   * be behind would show what was before, and that says nothing about the certificate.
   */
  async confirm(ids: readonly string[]): Promise<readonly string[]> {
    const asked = await Promise.all([this.#fleet.ask((worker) => worker.confirm(ids)), this.#askOutside(ids)]);
    return [...new Set(asked.flat(2))];
  }

  async #askOutside(ids: readonly string[]): Promise<string[]> {
    const wrong: string[] = [];
    if (!this.#fleet.inSync) return wrong;
    for (const id of ids) {
      const identity = this.#store.current.served.get(id)?.identity;
      const name = identity && this.#store.nameFor(identity);
      if (!identity || name === undefined) continue;
      const rounds = this.#fleet.workers.map(() => this.#addresses());
      const answers = await Promise.all(rounds.flat().map((address) => showsOutside(address, identity, name)));
      if (answers.includes(false) && this.#fleet.inSync) wrong.push(id);
    }
    return wrong;
  }

  async cut(fingerprints: ReadonlySet<string>): Promise<number> {
    const counts = await this.#fleet.ask((worker) => worker.cut(fingerprints));
    return counts.reduce((sum, count) => sum + count, 0);
  }
}
