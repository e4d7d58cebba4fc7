import type { ConnectionSummary, StopResult } from '../connections/index.ts';
import { type Finding, SwivelError } from '../errors.ts';
import { nextTurn } from '../pace.ts';
import { type Contents, changeBetween, deliveriesBetween } from './change.ts';
import { Channel, type Wire } from './channel.ts';
import { type Beginning, type PrimaryMethods, protocol, type Vitals, type WorkerMethods } from './methods.ts';

/** A worker's process, as the primary holds it. */
export interface WorkerProcess {
  readonly pid: number;
  readonly wire: Wire;
  kill(signal: NodeJS.Signals): void;
  /** Calls a listener when it has ended. @param how `code 1`, `signal SIGKILL` */
  onExit(listener: (how: string) => void): void;
}

/** `joining` once it has a generation, `serving` while it accepts connections, `leaving` from when it accepts none any more. */
export type WorkerState = 'starting' | 'joining' | 'serving' | 'leaving' | 'gone';

/** What a worker tells. */
export type WorkerTidings = PrimaryMethods;

/** A generation with what goes with it. */
export interface Goal {
  readonly contents: Contents;
  readonly ticketKeys: Buffer;
  /** Milliseconds since 1970. */
  readonly now: number;
}

/** Nobody answered: the worker is gone, or gives no sign of life. */
export const absent = Symbol('absent');

/** One worker, seen from the primary. */
export class ManagedWorker {
  readonly id: number;
  readonly startedAt = new Date();
  readonly #process: WorkerProcess;
  readonly #channel: Channel<WorkerMethods>;
  readonly exited: Promise<string>;
  state: WorkerState = 'starting';
  /** The generation that it serves; null before the first one. */
  have: Contents | null = null;
  version = '';
  vitals: Vitals | null = null;
  /** It is being brought to the current generation. */
  catchingUp = false;
  /** What it failed with, before it was killed for it. */
  failure: unknown = null;
  /** Connections that it cut while it had old ticket keys, whose clients may have come back by them. */
  readonly toCutAgain = new Set<string>();
  /** It was told to end. */
  dismissed = false;
  /** It accepted connections at some time. */
  served = false;
  /** It was told what to do, and gives signs of life from then on. */
  begun = false;
  /** Settles when it accepts connections, or never will. */
  serves: Promise<void> = Promise.resolve();
  /** Beats of the pulse since it was heard of. */
  silentFor = 0;
  /** Beats of the pulse for which it has served another generation than the current one. */
  behindFor = 0;
  /** Beats of the pulse that it took to start. */
  startingFor = 0;
  readonly #waiting = new Set<(answer: typeof absent) => void>();
  #isAbsent = false;
  /** One change after another: their parcels must not mix. */
  #sending: Promise<unknown> = Promise.resolve();

  /**
   * @param tidings what it tells that concerns others
   * @param fault told of what went wrong with that
   */
  constructor(id: number, process: WorkerProcess, tidings: WorkerTidings, fault: (error: unknown) => void) {
    this.id = id;
    this.#process = process;
    const methods: PrimaryMethods = {
      ...tidings,
      vitals: (vitals) => {
        this.vitals = vitals;
        tidings.vitals(vitals);
      },
    };
    const wire: Wire = {
      send: (message, handle) => process.wire.send(message, handle),
      receive: (listener) =>
        process.wire.receive((message, handle) => {
          this.#heard();
          listener(message, handle);
        }),
    };
    this.#channel = new Channel<WorkerMethods>(wire, methods, fault);
    const { promise, resolve } = Promise.withResolvers<string>();
    this.exited = promise;
    process.onExit((how) => {
      this.state = 'gone';
      this.#channel.close();
      this.#becomeAbsent();
      resolve(how);
    });
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** Whether it takes part in what is published. */
  get attends(): boolean {
    return this.state !== 'starting' && this.state !== 'gone' && !this.catchingUp;
  }

  /** @param beginning settles when it accepts connections, or never will */
  begins(beginning: Promise<void>): void {
    this.serves = beginning.then(() => {
      this.served = true;
    });
  }

  /** Whether it gives signs of life. @param after beats of the pulse without one */
  isSilent(after: number): boolean {
    return this.silentFor >= after;
  }

  /** One beat without a sign. @param after beats from which nobody waits for it any more */
  beat(after: number): void {
    this.silentFor += 1;
    if (this.isSilent(after)) this.#becomeAbsent();
  }

  /** Waits for an answer, but not for one that does not come. @throws what the answer is, when it is an error */
  async attend<T>(answer: Promise<T>): Promise<T | typeof absent> {
    const gone = (error: unknown): typeof absent => {
      if (error instanceof SwivelError && error.code === 'WORKER_GONE') return absent;
      throw error;
    };
    const absence = Promise.withResolvers<typeof absent>();
    if (this.#isAbsent) absence.resolve(absent);
    this.#waiting.add(absence.resolve);
    try {
      return await Promise.race([answer.catch(gone), absence.promise]);
    } finally {
      this.#waiting.delete(absence.resolve);
    }
  }

  /** @throws SwivelError PRIVILEGES_KEPT, WORKER_INCOMPATIBLE, WORKER_GONE */
  async begin(beginning: Beginning, configuration: unknown, sockets: readonly unknown[]): Promise<void> {
    this.begun = true;
    const introduction = await this.#channel.call('begin', beginning);
    this.version = introduction.version;
    if (introduction.protocol !== protocol) {
      const message = `worker ${this.id} is of version ${introduction.version}, which the primary process cannot talk to`;
      throw new SwivelError('WORKER_INCOMPATIBLE', message);
    }
    await this.#channel.call('configure', configuration);
    for (const socket of sockets) this.#channel.tell('socket', null, socket);
  }

  listen(): Promise<void> {
    return this.#channel.call('listen', null);
  }

  /** Has it build a generation. @returns what cannot be served */
  async prepare({ contents, ticketKeys, now }: Goal): Promise<readonly Finding[]> {
    const answer = this.#sending.then(async () => {
      const { have } = this;
      for (const parcel of deliveriesBetween(have, contents)) {
        this.#channel.tell('deliver', parcel);
        await nextTurn();
      }
      return { answer: this.#channel.call('prepare', changeBetween(have, contents, ticketKeys, now)) };
    });
    this.#sending = answer.catch(() => {});
    return (await answer).answer;
  }

  /** Has it serve what it built. @returns how many connections drain, by fingerprint */
  async commit({ contents }: Goal): Promise<ReadonlyMap<string, number>> {
    const drained = this.#channel.call('commit', contents.number).then((counts) => {
      this.have = contents;
      return counts;
    });
    // The next change starts from what the worker has then, however late it says so.
    this.#sending = drained.catch(() => {});
    return drained;
  }

  /** Resolves when no change is on its way to it, and no answer to a commit is due. */
  get idle(): Promise<unknown> {
    return this.#sending;
  }

  abort(): void {
    this.#channel.tell('abort', null);
  }

  confirm(ids: readonly string[]): Promise<readonly string[]> {
    return this.#channel.call('confirm', ids);
  }

  cut(fingerprints: ReadonlySet<string>): Promise<number> {
    return this.#channel.call('cut', fingerprints);
  }

  summary(): Promise<ConnectionSummary> {
    return this.#channel.call('summary', null);
  }

  learn(certificates: readonly Uint8Array[]): void {
    this.#channel.tell('issuers', certificates);
  }

  setLogLevel(level: string): void {
    this.#channel.tell('logLevel', level);
  }

  /** Has it drain and end. Resolves when it is gone. */
  async leave(): Promise<void> {
    this.dismissed = true;
    if (this.state === 'gone') return;
    this.state = 'leaving';
    this.#channel.tell('leave', null);
    await this.exited;
  }

  /** Has it accept nothing more. Resolves when that is so, or when it gives no sign of life. */
  async stopAccepting(): Promise<void> {
    if (this.state === 'gone') return;
    this.state = 'leaving';
    this.dismissed = true;
    await this.attend(this.#channel.call('stopAccepting', null)).catch(() => {});
  }

  /** Has it drain within the drain timeout and end. */
  async stop(): Promise<StopResult> {
    this.dismissed = true;
    if (this.state === 'gone') return { cut: 0 };
    this.state = 'leaving';
    try {
      return await this.#channel.call('stop', null);
    } catch {
      return { cut: 0 };
    }
  }

  abandon(): void {
    this.#channel.tell('abandon', null);
  }

  kill(signal: NodeJS.Signals): void {
    if (this.state !== 'gone') this.#process.kill(signal);
  }

  #heard(): void {
    this.silentFor = 0;
    this.#isAbsent = this.state === 'gone';
  }

  #becomeAbsent(): void {
    this.#isAbsent = true;
    for (const resolve of this.#waiting) resolve(absent);
  }
}
