import type { GenerationPublisher, Publication, PublishedGeneration } from '../rotation/index.ts';
import {
  type ContextStore,
  type Generation,
  type ListenAddress,
  type PreparedGeneration,
  showsOutside,
  type Target,
} from '../tls/index.ts';
import type { Ballot } from './distribution.ts';
import type { Fleet } from './fleet.ts';

/**
 * Publishes to the workers. The primary builds each generation first, in a store that serves nobody, and rehearses it while the workers
 * build it: what OpenSSL refuses never reaches them.
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
    const { distribution } = this.#fleet;
    const vote: { on?: Generation; ballot?: Ballot } = {};
    const put = async (on: Generation) => {
      const ballot = await distribution.prepare({ contents: on, ticketKeys: target.ticketKeys, now });
      Object.assign(vote, { on, ballot });
    };
    let prepared: PreparedGeneration | undefined;
    try {
      prepared = await this.#store.prepare(target, now, put);
      if (vote.on !== prepared.generation) {
        vote.ballot?.abort();
        await put(prepared.generation);
      }
    } catch (error) {
      prepared?.abort();
      if (!prepared) vote.ballot?.abort();
      throw error;
    }
    return this.#publication(prepared, vote.ballot as Ballot);
  }

  #publication(prepared: PreparedGeneration, ballot: Ballot): Publication {
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
    for (const worker of this.#fleet.workers) {
      if (worker.have === this.#store.current) continue;
      for (const fingerprint of fingerprints) worker.toCutAgain.add(fingerprint);
    }
    const counts = await this.#fleet.ask((worker) => worker.cut(fingerprints));
    return counts.reduce((sum, count) => sum + count, 0);
  }
}
