import { setTimeout as delay } from 'node:timers/promises';
import type { CertificateSource } from '../certificates/index.ts';
import { type Finding, messageOf, SwivelError } from '../errors.ts';
import type { FileWatchService, Subscription } from '../files/index.ts';
import type { Logger } from '../observe/index.ts';
import { Activation, type ActivationOptions } from './activation.ts';
import { type BundleVerdict, decideBundles } from './bundles.ts';
import type { Verdict } from './decide.ts';
import { defaultGate } from './gate.ts';
import { gather } from './gather.ts';
import type { Journal, Trigger } from './journal.ts';
import type { GenerationPublisher } from './publisher.ts';
import { SourceReader, type SourceState } from './source-reader.ts';
import { Alarm } from './timers.ts';
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

/** What came of one reconciliation. */
export interface Report {
  readonly generation: number;
  readonly verdicts: readonly Verdict[];
  readonly bundles: readonly BundleVerdict[];
  /** What is wrong with whole sources. */
  readonly failures: readonly Finding[];
}

/** What an operator asks for with a reconciliation. */
export interface Wishes {
  /** Identities whose certificate on disk is to be served whatever the gate or a hold says. */
  readonly accept?: readonly string[];
  /** Identities whose served certificate must not be used any more. */
  readonly compromised?: readonly string[];
}

interface Request {
  /** What is to be looked at: to be read first, or read already. */
  readonly sources: Set<SourceReader>;
  readonly unread: Set<SourceReader>;
  /** Those of them to which something may have happened: marked neither by a retry nor by a resync. */
  readonly stirred: Set<SourceReader>;
  readonly marks: Set<Trigger>;
  trigger: Trigger;
  /** Monotonic milliseconds of the first mark. */
  since: number;
  thorough: boolean;
  readonly accept: Set<string>;
  readonly compromised: Set<string>;
  readonly rollbacks: Rollback[];
  readonly waiting: { resolve(report: Report): void; reject(error: unknown): void }[];
}

/** Somebody wants to go back; it is done between reading and deciding, where nothing changes meanwhile. */
interface Rollback {
  readonly id: string | undefined;
  resolve(rolledBack: readonly string[]): void;
  reject(error: unknown): void;
}

/** Delays of the attempts after a rejection, milliseconds; from then on the resync has it. */
const retryDelays = [25, 50, 100, 200, 400, 800, 1600, 3200, 6400];

/** Milliseconds between two times a source is asked because it wants to be. */
const shortestWait = 1000;
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
  /** When to look again at what is wrong, at what time alone changes, and at sources that asked for it. */
  readonly #retry = new Alarm(() => this.#mark(this.#wrong, 'retry', true));
  readonly #wake = new Alarm(() => this.#mark(this.#readers, 'schedule', false));
  readonly #reask: ReadonlyMap<SourceReader, Alarm>;
  #wrong: readonly SourceReader[] = [];
  #retries = 0;
  #next: Request | null = null;
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
    this.#reask = new Map(
      this.#readers.map((reader) => [reader, new Alarm(() => this.#mark([reader], 'schedule', true))]),
    );
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

  /** A client was shown a chain: counts for the trial of a canary. @param refused whether it answered with an alert */
  observe(id: string, fingerprint: string, refused: boolean): void {
    if (this.#activation.observe(id, fingerprint, refused) && !this.#stopped) this.#mark([], 'canary', false);
  }

  /** The trial of a certificate, if there is one. */
  trialOf(id: string): Trial | undefined {
    return this.#activation.trials.get(id);
  }

  /** The sources, as /status tells them. */
  get sources(): readonly SourceState[] {
    return this.#readers.map(({ state }) => state);
  }

  /** Follows changes from now on. */
  follow(watch: FileWatchService): void {
    this.#following = true;
    for (const reader of this.#readers) {
      const dirty = () => void this.#mark([reader], 'event', false);
      const subscription = watch.subscribe(
        {
          stirred: dirty,
          created: dirty,
          modified: dirty,
          deleted: dirty,
          rescan: (reason) => this.#mark([reader], reason === 'armed' ? 'event' : 'resync', true),
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
    for (const alarm of [this.#retry, this.#wake, ...this.#reask.values()]) alarm.clear();
    for (const reader of this.#readers) reader.close();
    for (const { reject } of [...(this.#next?.waiting ?? []), ...(this.#next?.rollbacks ?? [])])
      reject(new SwivelError('SHUTTING_DOWN'));
    this.#next = null;
  }

  /** A source that had been given up has answered: what it said then may be old by now. */
  #late(reader: SourceReader): void {
    if (this.#following && !this.#stopped) this.#mark([reader], 'event', true);
  }

  /** Sources are worth reading. */
  #mark(readers: readonly SourceReader[], trigger: Trigger, thorough: boolean): void {
    const request = this.#look(readers, trigger);
    for (const reader of readers) request.unread.add(reader);
    request.thorough ||= thorough;
  }

  /** What was read of sources is worth a look. @param since the first sign of it, monotonic milliseconds */
  #look(readers: readonly SourceReader[], trigger: Trigger, since = performance.now()): Request {
    this.#next ??= {
      sources: new Set(),
      unread: new Set(),
      stirred: new Set(),
      marks: new Set(),
      trigger,
      since,
      thorough: false,
      accept: new Set(),
      compromised: new Set(),
      rollbacks: [],
      waiting: [],
    };
    const stirring = trigger !== 'retry' && trigger !== 'resync';
    for (const reader of readers) {
      this.#next.sources.add(reader);
      if (stirring) this.#next.stirred.add(reader);
    }
    this.#next.marks.add(trigger);
    this.#next.since = Math.min(this.#next.since, since);
    if (trigger === 'api' || trigger === 'signal' || trigger === 'rollback') this.#next.trigger = trigger;
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
        const report = await this.#run(request);
        for (const { resolve } of request.waiting) resolve(report);
      } catch (error) {
        this.#logger.error({ code: 'INTERNAL', error: messageOf(error) }, 'a reconciliation failed');
        for (const { reject } of request.waiting) reject(error);
        this.#scheduleRetry(this.#readers);
      }
    }
    this.#running = false;
  }

  async #run(request: Request): Promise<Report> {
    await this.#read(request);
    for (const [i, subscription] of this.#subscriptions.entries()) {
      subscription.update(this.#readers[i]?.state.watch ?? []);
    }
    const now = this.#now();
    const { candidates, bundles, failures } = gather(this.#readers, this.#owners);
    for (const { id, resolve, reject } of request.rollbacks) {
      try {
        resolve(this.#activation.rollback(id, candidates, now));
      } catch (error) {
        reject(error);
      }
    }
    const trust = decideBundles(bundles, this.#publisher.current.bundles, now);
    const usable = trust.flatMap(({ served }) => (served ? [served] : []));
    const { verdicts, wakeAt } = await this.#activation.run({ ...request, candidates, bundles: usable }, now);
    for (const { state } of request.sources) this.#journal.noticed(state.source, state.warnings);
    this.#journal.decided(verdicts, trust, failures, insistent.has(request.trigger));
    this.#journal.published(this.#publisher.current);
    this.#schedule(wakeAt, now, request, verdicts, trust);
    return { generation: this.#publisher.current.number, verdicts, bundles: trust, failures };
  }

  /** Reads what is to be read. What takes longer than others should wait is looked at when it is there. */
  async #read({ sources, unread, trigger, since, thorough }: Request): Promise<void> {
    if (unread.size === 0) return;
    const slow = new Map<SourceReader, Promise<unknown>>();
    for (const reader of unread) {
      const reading = reader.read(thorough).then(() => slow.delete(reader));
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
    wakeAt: number | null,
    now: number,
    request: Request,
    verdicts: readonly Verdict[],
    trust: readonly BundleVerdict[],
  ): void {
    this.#wake.clear();
    if (!this.#following || this.#stopped) return;
    if (wakeAt !== null) this.#wake.set(wakeAt - now);
    for (const reader of request.sources) this.#askAgain(reader, now);
    const rejected = new Set(verdicts.filter(({ result }) => result === 'rejected').map(({ source }) => source));
    for (const { source, error } of trust) if (error) rejected.add(source);
    const wrong = this.#readers.filter(({ source, state }) => state.failure !== null || rejected.has(source.id));
    // Something new happened, or all is well: start over with the short delays. A resync that finds the same as ever is nothing new,
    // nor is what happened to other sources.
    const found = request.marks.has('resync') && this.#journal.undecided;
    const news = found || wrong.some((reader) => request.stirred.has(reader));
    if (wrong.length === 0 || news) this.#retries = 0;
    if (wrong.length > 0 && (news || request.marks.has('retry'))) this.#scheduleRetry(wrong);
  }

  /** Asks a source again when it wants that; a little earlier, so that a fleet does not ask in one moment. */
  #askAgain(reader: SourceReader, now: number): void {
    const at = reader.state.failure ? null : reader.state.askAgainAt;
    if (at === null) this.#reask.get(reader)?.clear();
    else this.#reask.get(reader)?.set(Math.max(shortestWait, (at - now) * (1 - Math.random() * 0.05)));
  }

  /** Looks again at sources that hold something wrong: it may be half-written. */
  #scheduleRetry(readers: readonly SourceReader[]): void {
    const wait = retryDelays[this.#retries];
    if (wait === undefined || !this.#following || this.#stopped) return;
    this.#retries += 1;
    this.#wrong = readers;
    this.#retry.set(wait);
  }
}
