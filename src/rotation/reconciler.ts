import type { CertificateSource } from '../certificates/index.ts';
import { messageOf, SwivelError } from '../errors.ts';
import type { FileWatchService, Subscription } from '../files/index.ts';
import type { Logger } from '../observe/index.ts';
import { rest, within } from '../pace.ts';
import type { Refusal } from '../tls/index.ts';
import { Activation } from './activation.ts';
import { defaultGate } from './gate.ts';
import type { Journal, Trigger } from './journal.ts';
import { Leftovers } from './leftovers.ts';
import type { GenerationPublisher } from './publisher.ts';
import { Reconciliation } from './reconciliation.ts';
import { type Report, RunRequest, type Wishes } from './request.ts';
import { SourceReader, type SourceState } from './source-reader.ts';
import type { ActivationOptions } from './standing.ts';
import type { TicketKeyStatus } from './ticket-keys.ts';
import type { Trial } from './trials.ts';

export interface ReconcilerOptions {
  /** Milliseconds after which reading one source counts as failed. */
  readonly loadTimeout: number;
  readonly activation: ActivationOptions;
}

/** Activates at once what passes the gate. */
export const plainActivation: ActivationOptions = {
  gate: defaultGate,
  canary: { share: 0, duration: 0 },
  jitter: { min: 0, max: 0 },
  expiryWarnings: [],
};

/** Milliseconds that a run waits for what it reads: what is written slowly, or stands on a slow disk, holds up nobody but itself. */
const patience = 30;

/**
 * Brings what is served in line with what is on disk: knows when to read and when to run. Level-triggered: marks say only that a source
 * is worth a look. Single-flight: marks that come during a run cause exactly one more.
 */
export class Reconciler {
  readonly #readers: readonly SourceReader[];
  readonly #journal: Journal;
  readonly #logger: Logger;
  readonly #now: () => number;
  readonly #activation: Activation;
  readonly #subscriptions: Subscription[] = [];
  readonly #reconciliation: Reconciliation;
  readonly #leftovers: Leftovers;
  #next: RunRequest | null = null;
  #running = false;
  #following = false;
  #stopped = false;
  readonly #stop = Promise.withResolvers<void>();

  /** @param now milliseconds since 1970 */
  constructor(
    sources: readonly CertificateSource[],
    publisher: GenerationPublisher,
    journal: Journal,
    logger: Logger,
    options: ReconcilerOptions,
    now: () => number = Date.now,
  ) {
    const { loadTimeout, activation } = options;
    const late = (reader: SourceReader) => this.#late(reader);
    this.#readers = sources.map((source) => new SourceReader(source, loadTimeout, late, activation.gate));
    this.#journal = journal;
    this.#logger = logger;
    this.#now = now;
    this.#activation = new Activation(publisher, journal, activation);
    this.#reconciliation = new Reconciliation(this.#readers, publisher, journal, this.#activation);
    this.#leftovers = new Leftovers(this.#readers, journal, this.#activation.ticketKeys, {
      retry: (readers) => this.#mark(readers, 'retry', true),
      wake: () => this.#mark(this.#readers, 'schedule', false),
      ask: (reader) => this.#mark([reader], 'schedule', true),
    });
  }

  /** Reconciles everything now, and tells what came of it. Serves start-up, SIGHUP, the admin endpoint and tests. */
  async runOnce(trigger: Trigger, wishes: Wishes = {}): Promise<Report> {
    const since = await this.#readAll();
    return new Promise((resolve, reject) => {
      const request = this.#look(this.#readers, trigger, since);
      for (const id of wishes.accept ?? []) request.accept.add(id);
      for (const id of wishes.compromised ?? []) request.compromised.add(id);
      request.waiting.push({ resolve, reject });
    });
  }

  /**
   * Serves an earlier certificate, until the files change.
   * @param id of an identity; all that the last commit changed when left out
   * @throws SwivelError CERTIFICATE_UNKNOWN, ROLLBACK_IMPOSSIBLE
   */
  async rollback(id?: string): Promise<Report & { readonly rolledBack: readonly string[] }> {
    const since = await this.#readAll();
    const back = Promise.withResolvers<readonly string[]>();
    const run = Promise.withResolvers<Report>();
    const request = this.#look(this.#readers, 'rollback', since);
    request.rollbacks.push({ id, ...back });
    request.waiting.push(run);
    const [rolledBack, report] = await Promise.all([back.promise, run.promise]);
    return { ...report, rolledBack };
  }

  /**
   * Reads every source, however long that takes; others go on being looked at meanwhile.
   * @returns when it began, monotonic milliseconds
   * @throws SwivelError SHUTTING_DOWN
   */
  async #readAll(): Promise<number> {
    const since = performance.now();
    if (!this.#stopped) {
      await Promise.race([Promise.all(this.#readers.map((reader) => reader.read(true))), this.#stop.promise]);
    }
    if (this.#stopped) throw new SwivelError('SHUTTING_DOWN');
    return since;
  }

  /** Clients were shown a chain: counts for the trial of a canary. @param refused whether they answered with an alert @param times how many */
  observe(id: string, fingerprint: string, refused: boolean, times = 1): void {
    if (this.#activation.observe(id, fingerprint, refused, times) && !this.#stopped) this.#mark([], 'canary', false);
  }

  /** A certificate that is served turned out to be of no use: it counts as broken until its files change. */
  refused(refusal: Refusal): void {
    this.#activation.refused(refusal);
    this.#leftovers.unsettle();
    if (!this.#stopped) this.#mark([], 'schedule', false);
  }

  /** The trial of a certificate, if there is one. */
  trialOf(id: string): Trial | undefined {
    return this.#activation.trials.get(id);
  }

  /** The sources, as /status tells them. */
  get sources(): readonly SourceState[] {
    return this.#readers.map(({ state }) => state);
  }

  /** The ticket keys in effect, as /status tells them. */
  get ticketKeys(): TicketKeyStatus {
    const status = this.#activation.ticketKeys.status;
    // Without a watch nothing wakes it.
    return this.#following ? status : { ...status, renewAt: null };
  }

  /** Follows changes from now on. */
  follow(watch: FileWatchService): void {
    this.#following = true;
    for (const reader of this.#readers) {
      const dirty = (path: string) => this.#mark([reader], 'event', false, path);
      const subscription = watch.subscribe(
        {
          stirred: dirty,
          created: dirty,
          modified: dirty,
          deleted: dirty,
          // Right after it was read at start, or with what brought the watch down, time stamps will do; the next resync does not rely on them.
          rescan: (reason) => this.#mark([reader], reason === 'armed' ? 'event' : 'resync', reason !== 'armed'),
        },
        reader.state.watch,
      );
      this.#subscriptions.push(subscription);
    }
    // What the first run found wanting, or found to be not yet valid, is looked at again from now on.
    this.#mark(this.#readers, 'schedule', false);
  }

  /** Ends it. A run under way completes. */
  stop(): void {
    this.#stopped = true;
    this.#stop.resolve();
    for (const subscription of this.#subscriptions) subscription.close();
    this.#leftovers.stop();
    for (const reader of this.#readers) reader.close();
    this.#next?.fail(new SwivelError('SHUTTING_DOWN'));
    this.#next = null;
  }

  /** A source that had been given up has answered: what it said then may be old by now. */
  #late(reader: SourceReader): void {
    if (this.#following && !this.#stopped) this.#mark([reader], 'event', true);
  }

  /** Sources are worth reading. @param path of which something was heard; null: anything may have changed */
  #mark(readers: readonly SourceReader[], trigger: Trigger, thorough: boolean, path: string | null = null): void {
    const request = this.#look(readers, trigger);
    for (const reader of readers) request.read(reader, path);
    request.thorough ||= thorough;
  }

  /** What was read of sources is worth a look. @param since the first sign of it, monotonic milliseconds */
  #look(readers: readonly SourceReader[], trigger: Trigger, since = performance.now()): RunRequest {
    this.#next ??= new RunRequest(trigger, since);
    this.#next.add(readers, trigger, since);
    const request = this.#next;
    if (!this.#running) void this.#drainRequests();
    return request;
  }

  async #drainRequests(): Promise<void> {
    this.#running = true;
    // What is marked in this turn of the event loop goes into one run.
    await Promise.resolve();
    while (this.#next && !this.#stopped) {
      const request = this.#next;
      this.#next = null;
      try {
        await this.#read(request);
        for (const [i, subscription] of this.#subscriptions.entries()) {
          subscription.update(this.#readers[i]?.state.watch ?? []);
        }
        if (this.#leftovers.isIdle(request)) {
          this.#journal.looked();
          continue;
        }
        await rest();
        this.#leftovers.begin();
        const outcome = await this.#reconciliation.run(request, this.#now());
        if (this.#following && !this.#stopped) this.#leftovers.schedule(request, outcome);
        for (const { resolve } of request.waiting) resolve(outcome.report);
      } catch (error) {
        this.#logger.error({ code: 'INTERNAL', error: messageOf(error) }, 'a reconciliation failed');
        request.fail(error);
        if (this.#following && !this.#stopped) this.#leftovers.retryAll();
      }
    }
    this.#running = false;
  }

  /** Reads what is to be read. What takes longer than others should wait is looked at when it is there. */
  async #read({ sources, unread, trigger, since, thorough }: RunRequest): Promise<void> {
    if (unread.size === 0) return;
    const slow = new Map<SourceReader, Promise<unknown>>();
    for (const [reader, asked] of unread) {
      const reading = reader.read(thorough, asked.stirred, asked.since).then(() => slow.delete(reader));
      slow.set(reader, reading);
    }
    await within(patience, Promise.all(slow.values()));
    for (const [reader, reading] of slow) {
      sources.delete(reader);
      void reading.then(() => this.#stopped || this.#look([reader], trigger, since));
    }
  }
}
