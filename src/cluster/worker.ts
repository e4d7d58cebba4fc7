import type { ConnectionSummary, StopResult } from '../connections/index.ts';
import { type Finding, SwivelError } from '../errors.ts';
import type { GenerationPublisher, Publication } from '../rotation/index.ts';
import type { ContextStore } from '../tls/index.ts';
import { applyChange, type Change, type Delivery } from './change.ts';
import { Channel, type Wire } from './channel.ts';
import { type Introduction, type PrimaryMethods, protocol, type Vitals, type WorkerMethods } from './methods.ts';

/** What a worker serves with. */
export interface Plane {
  readonly store: ContextStore;
  readonly publisher: GenerationPublisher;
  /** @param sockets to accept on, in the order of the listeners @throws SwivelError LISTEN_FAILED */
  open(sockets: readonly object[]): Promise<unknown>;
  summary(): ConnectionSummary;
  learn(certificates: readonly Uint8Array[]): void;
  setLogLevel(level: string): void;
  stopAccepting(): Promise<void>;
  /** Stops accepting and drains as for a retired certificate. */
  leave(): Promise<void>;
  /** Stops accepting and drains within the drain timeout. */
  stop(): Promise<StopResult>;
  abandon(): void;
}

export interface WorkerOptions {
  readonly version: string;
  /** Gives up privileges, called before anything secret comes. @throws SwivelError PRIVILEGES_KEPT */
  readonly begin: (beginning: Parameters<WorkerMethods['begin']>[0]) => void;
  /** Makes the plane, once the configuration has come. @param primary to tell things to */
  readonly createPlane: (configuration: unknown, primary: Channel<PrimaryMethods>) => Plane;
  /** Called once it has what it is to serve, before it accepts connections. @param certificates how many it has */
  readonly beforeListening?: (certificates: number) => void;
  readonly vitals: () => Vitals;
}

/** Milliseconds between two signs of life. */
export const pulse = 500;

/** The worker's end: serves what the primary hands out, and ends when it says so or is gone. */
export class Worker {
  readonly #options: WorkerOptions;
  readonly #channel: Channel<PrimaryMethods>;
  readonly #sockets: object[] = [];
  readonly #ended = Promise.withResolvers<void>();
  #plane: Plane | null = null;
  #deliveries: Delivery[] = [];
  #publication: Publication | null = null;
  #turn: Promise<unknown> = Promise.resolve();
  #pulse: NodeJS.Timeout | null = null;
  /** Drains under way: one to leave may be overtaken by one to stop. */
  #ending = 0;

  constructor(wire: Wire, options: WorkerOptions) {
    this.#options = options;
    const methods: WorkerMethods = {
      begin: async (beginning) => this.#begin(beginning),
      configure: (configuration) => {
        this.#plane = options.createPlane(configuration, this.#channel);
        this.#pulse = setInterval(() => this.#channel.tell('vitals', options.vitals()), pulse);
      },
      deliver: (deliveries) => void this.#deliveries.push(...deliveries),
      prepare: (change) => {
        const deliveries = this.#deliveries;
        this.#deliveries = [];
        return this.#inTurn(() => this.#prepare(change, deliveries));
      },
      commit: (number) => this.#inTurn(() => this.#commit(number)),
      abort: () => void this.#inTurn(async () => this.#abort()),
      socket: (_, handle) => void this.#sockets.push(handle as object),
      listen: () =>
        this.#inTurn(async () => {
          const { store } = this.#serving;
          options.beforeListening?.(store.current.served.size);
          await this.#serving.open(this.#sockets);
        }),
      confirm: (ids) => this.#inTurn(() => this.#serving.publisher.confirm(ids)),
      cut: async (fingerprints) => this.#serving.publisher.cut(fingerprints),
      summary: () => this.#serving.summary(),
      issuers: (certificates) => this.#plane?.learn(certificates),
      logLevel: (level) => this.#plane?.setLogLevel(level),
      stopAccepting: async () => this.#plane?.stopAccepting(),
      leave: () => this.#end(async () => this.#plane?.leave()),
      stop: () => this.stop(),
      abandon: () => this.#plane?.abandon(),
    };
    this.#channel = new Channel(wire, methods);
  }

  /** Resolves when nothing is left to serve. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  /** Asks for another worker in its place. */
  askToBeReplaced(): void {
    this.#channel.tell('replaceMe', null);
  }

  /** Stops accepting, drains, and ends. */
  async stop(): Promise<StopResult> {
    return (await this.#end(async () => this.#plane?.stop())) ?? { cut: 0 };
  }

  /** The primary is gone. */
  async orphaned(): Promise<void> {
    this.#channel.close();
    await this.stop();
  }

  get #serving(): Plane {
    if (!this.#plane) throw new SwivelError('INTERNAL', 'the worker has no configuration yet');
    return this.#plane;
  }

  #begin(beginning: Parameters<WorkerMethods['begin']>[0]): Introduction {
    this.#options.begin(beginning);
    return { protocol, version: this.#options.version };
  }

  async #prepare(change: Change, deliveries: readonly Delivery[]): Promise<readonly Finding[]> {
    this.#abort();
    const { store, publisher } = this.#serving;
    this.#publication = await publisher.prepare(applyChange(store.current, change, deliveries), change.now);
    return this.#publication.failures;
  }

  async #commit(number: number): Promise<ReadonlyMap<string, number>> {
    const publication = this.#publication;
    this.#publication = null;
    const { store } = this.#serving;
    if (!publication) throw new SwivelError('INTERNAL', `generation ${number} was not prepared`);
    const drained = await publication.commit();
    if (store.current.number !== number) throw new SwivelError('INTERNAL', `another generation than ${number}`);
    return drained;
  }

  #abort(): void {
    this.#publication?.abort();
    this.#publication = null;
  }

  async #end<T>(drain: () => Promise<T>): Promise<T> {
    this.#ending += 1;
    try {
      return await drain();
    } finally {
      if (this.#pulse) clearInterval(this.#pulse);
      this.#ending -= 1;
      // The answers go out first.
      setImmediate(() => {
        if (this.#ending === 0) this.#ended.resolve();
      });
    }
  }

  /** One generation after another: the store prepares one at a time. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => {});
    return result;
  }
}
