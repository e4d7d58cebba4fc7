import { setTimeout as delay } from 'node:timers/promises';
import type { CertificateSource } from '../certificates/index.ts';
import { messageOf, SwivelError } from '../errors.ts';
import type { FileWatchService, Subscription } from '../files/index.ts';
import type { Logger } from '../observe/index.ts';
import { nextTurn } from '../pace.ts';
import type { Refusal } from '../tls/index.ts';
import { Activation } from './activation.ts';
import { type BundleVerdict, decideBundles } from './bundles.ts';
import { defaultGate } from './gate.ts';
import { gather } from './gather.ts';
import type { Journal, Trigger } from './journal.ts';
import { LookingAgain } from './looking-again.ts';
import type { GenerationPublisher } from './publisher.ts';
import { type Report, RunRequest, type Wishes } from './request.ts';
import { SourceReader, type SourceState } from './source-reader.ts';
import type { ActivationOptions } from './standing.ts';
import type { TicketKeyStatus } from './ticket-keys.ts';
import type { Trial } from './trials.ts';
import type { Decision } from './types.ts';

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
/** Who asks in these ways waits for an answer: what may be the middle of a change is told as it is. */
const insistent: ReadonlySet<Trigger> = new Set(['start', 'api', 'signal', 'rollback']);

/**
 * Brings what is served in line with what is on disk. Level-triggered: marks say only that a source is worth a look. Single-flight:
 * marks that come during a run cause exactly one more.
 */
export class Reconciler {
  readonly #readers: readonly SourceReader[];
  readonly #publisher: GenerationPublisher;
  readonly #journal: Journal;
  readonly #logger: Logger;
  readonly #now: () => number;
  readonly #activation: Activation;
  readonly #subscriptions: Subscription[] = [];
  readonly #owners = new Map<string, SourceReader>();
  readonly #again: LookingAgain<SourceReader>;
  /** What the last run found, and whether there was nothing left to do about it. */
  readonly #decidedOn = new Map<SourceReader, SourceState>();
  #settled = false;
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
    this.#again = new LookingAgain({
      retry: (readers) => this.#mark(readers, 'retry', true),
      wake: () => this.#mark(this.#readers, 'schedule', false),
      ask: (reader) => this.#mark([reader], 'schedule', true),
    });
    this.#publisher = publisher;
    this.#journal = journal;
    this.#logger = logger;
    this.#now = now;
    this.#activation = new Activation(publisher, journal, activation);
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
    this.#settled = false;
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
    this.#again.stop();
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
        if (this.#isIdle(request)) {
          this.#journal.looked();
          continue;
        }
        await nextTurn();
        const report = await this.#run(request);
        for (const { resolve } of request.waiting) resolve(report);
      } catch (error) {
        this.#logger.error({ code: 'INTERNAL', error: messageOf(error) }, 'a reconciliation failed');
        request.fail(error);
        if (this.#following && !this.#stopped) this.#again.retry(this.#readers);
      }
    }
    this.#running = false;
  }

  /** Whether an event was about nothing: what was read is what was decided on, and all of it is served. */
  #isIdle(request: RunRequest): boolean {
    if (!this.#settled || !request.isEvent) return false;
    return this.#readers.every((reader) => {
      const [before, after] = [this.#decidedOn.get(reader), reader.state];
      if (!before || before.failure || after.failure || before.warnings.length + after.warnings.length > 0)
        return false;
      const isSame = before.candidates === after.candidates && before.bundles === after.bundles;
      return isSame && before.ticketKeys === after.ticketKeys && before.askAgainAt === after.askAgainAt;
    });
  }

  async #run(request: RunRequest): Promise<Report> {
    this.#settled = false;
    for (const reader of this.#readers) this.#decidedOn.set(reader, reader.state);
    const now = this.#now();
    const { candidates, bundles, ticketKeys, failures } = gather(this.#readers, this.#owners);
    for (const { id, resolve, reject } of request.rollbacks) {
      try {
        resolve(this.#activation.rollback(id, candidates, now));
      } catch (error) {
        reject(error);
      }
    }
    const trust = decideBundles(bundles, this.#publisher.current.bundles, now);
    const usable = trust.flatMap(({ served }) => (served ? [served] : []));
    const { trigger, since, accept, compromised } = request;
    const occasion = { candidates, bundles: usable, ticketKeys, trigger, since, accept, compromised };
    let decision = await this.#activation.run(occasion, now);
    const tell = () => {
      this.#journal.decided(decision.verdicts, trust, failures, insistent.has(trigger));
      this.#journal.published(this.#publisher.current);
    };
    for (const { state } of request.sources) this.#journal.noticed(state.source, state.warnings);
    this.#journal.noticed('ticket-keys', this.#activation.ticketKeys.warnings);
    tell();
    await nextTurn();
    // What is served is known before the listeners have been asked for it.
    const corrected = await this.#activation.confirm(occasion, decision, now);
    if (corrected) {
      decision = corrected;
      tell();
    }
    this.#schedule(decision, now, request, trust);
    const { verdicts } = decision;
    return { generation: this.#publisher.current.number, verdicts, bundles: trust, failures };
  }

  /** Reads what is to be read. What takes longer than others should wait is looked at when it is there. */
  async #read({ sources, unread, trigger, since, thorough }: RunRequest): Promise<void> {
    if (unread.size === 0) return;
    const slow = new Map<SourceReader, Promise<unknown>>();
    for (const [reader, stirred] of unread) {
      const reading = reader.read(thorough, stirred).then(() => slow.delete(reader));
      slow.set(reader, reading);
    }
    const patient = new AbortController();
    const enough = delay(patience, null, { signal: patient.signal }).catch(() => null);
    await Promise.race([Promise.all(slow.values()), enough]);
    patient.abort();
    for (const [reader, reading] of slow) {
      sources.delete(reader);
      void reading.then(() => this.#stopped || this.#look([reader], trigger, since));
    }
  }

  #schedule(
    { wakeAt, verdicts, touched = verdicts }: Decision,
    now: number,
    request: RunRequest,
    trust: readonly BundleVerdict[],
  ): void {
    this.#again.wakeIn(null);
    if (!this.#following || this.#stopped) return;
    const turns = [wakeAt, this.#activation.ticketKeys.renewAt].filter((at) => at !== null);
    this.#again.wakeIn(turns.length === 0 ? null : Math.min(...turns) - now);
    for (const reader of request.sources) {
      const { failure, askAgainAt } = reader.state;
      this.#again.askIn(reader, failure || askAgainAt === null ? null : askAgainAt - now);
    }
    const rejected = new Set(touched.filter(({ result }) => result === 'rejected').map(({ source }) => source));
    for (const { source, error } of trust) if (error) rejected.add(source);
    const wrong = this.#readers.filter(({ source, state }) => state.failure !== null || rejected.has(source.id));
    this.#settled = wrong.length === 0 && touched.every(({ error }) => error === null);
    // A resync that finds the same as ever is nothing new, nor is what happened to other sources.
    const found = request.marks.has('resync') && this.#journal.undecided;
    const news = found || wrong.some((reader) => request.stirred.has(reader));
    if (wrong.length === 0 || news) this.#again.startOver();
    if (wrong.length > 0 && (news || request.marks.has('retry'))) this.#again.retry(wrong);
  }
}
