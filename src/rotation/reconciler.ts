import { type CertificateSource, type ValidatedIdentity, validityOf } from '../certificates/index.ts';
import { type Finding, messageOf, SwivelError } from '../errors.ts';
import type { FileWatchService, Subscription } from '../files/index.ts';
import type { Logger } from '../observe/index.ts';
import { type Candidate, type Decision, decide, type Verdict } from './decide.ts';
import { gather } from './gather.ts';
import type { Journal, Trigger } from './journal.ts';
import type { GenerationPublisher } from './publisher.ts';
import { SourceReader } from './source-reader.ts';

export interface ReconcilerOptions {
  /** Milliseconds after which reading one source counts as failed. */
  readonly loadTimeout: number;
}

/** What came of one reconciliation. */
export interface Report {
  readonly generation: number;
  readonly verdicts: readonly Verdict[];
  /** What is wrong with whole sources. */
  readonly failures: readonly Finding[];
}

interface Request {
  readonly sources: Set<SourceReader>;
  trigger: Trigger;
  /** Monotonic milliseconds of the first mark. */
  since: number;
  thorough: boolean;
  readonly waiting: { resolve(report: Report): void; reject(error: unknown): void }[];
}

/** Delays of the attempts after a rejection, milliseconds; from then on the resync has it. */
const retryDelays = [25, 50, 100, 200, 400, 800, 1600, 3200, 6400];
const longestTimer = 2 ** 31 - 1;

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
  readonly #subscriptions: Subscription[] = [];
  readonly #owners = new Map<string, SourceReader>();
  #next: Request | null = null;
  #running = false;
  #retry: NodeJS.Timeout | null = null;
  #retries = 0;
  #wake: NodeJS.Timeout | null = null;
  #publishedAt = 0;
  #following = false;
  #stopped = false;

  /** @param now milliseconds since 1970 */
  constructor(
    sources: readonly CertificateSource[],
    publisher: GenerationPublisher,
    journal: Journal,
    logger: Logger,
    options: ReconcilerOptions,
    now: () => number = Date.now,
  ) {
    this.#readers = sources.map((source) => new SourceReader(source, options.loadTimeout, (late) => this.#late(late)));
    this.#publisher = publisher;
    this.#journal = journal;
    this.#logger = logger;
    this.#now = now;
  }

  /** Reconciles everything now, and tells what came of it. Serves start-up, SIGHUP, the admin endpoint and tests. */
  runOnce(trigger: Trigger): Promise<Report> {
    if (this.#stopped) return Promise.reject(new SwivelError('SHUTTING_DOWN'));
    return new Promise((resolve, reject) => {
      this.#mark(this.#readers, trigger, true).waiting.push({ resolve, reject });
    });
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
    for (const subscription of this.#subscriptions) subscription.close();
    if (this.#retry) clearTimeout(this.#retry);
    if (this.#wake) clearTimeout(this.#wake);
    for (const { reject } of this.#next?.waiting ?? []) reject(new SwivelError('SHUTTING_DOWN'));
    this.#next = null;
  }

  /** A source that had been given up has answered: what it said then may be old by now. */
  #late(reader: SourceReader): void {
    if (this.#following && !this.#stopped) this.#mark([reader], 'event', true);
  }

  #mark(readers: readonly SourceReader[], trigger: Trigger, thorough: boolean): Request {
    this.#next ??= { sources: new Set(), trigger, since: performance.now(), thorough, waiting: [] };
    for (const reader of readers) this.#next.sources.add(reader);
    this.#next.thorough ||= thorough;
    if (trigger === 'api' || trigger === 'signal') this.#next.trigger = trigger;
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
    await Promise.all([...request.sources].map((reader) => reader.read(request.thorough)));
    for (const [i, subscription] of this.#subscriptions.entries()) {
      subscription.update(this.#readers[i]?.state.watch ?? []);
    }
    const now = this.#now();
    const { candidates, failures } = gather(this.#readers, this.#owners);
    const served = new Map([...this.#publisher.current.served].map(([id, one]) => [id, one.identity]));
    const { verdicts, wakeAt } = await this.#publish(candidates, served, request, now);
    const insistent = request.trigger === 'start' || request.trigger === 'api' || request.trigger === 'signal';
    this.#journal.decided(verdicts, failures, insistent);
    this.#journal.published(this.#publisher.current);
    this.#schedule(wakeAt, now, verdicts, request);
    return { generation: this.#publisher.current.number, verdicts, failures };
  }

  /**
   * Decides, and publishes what that changes. What the TLS library refuses counts as broken, and it is decided again: nothing may
   * be dropped in favour of it.
   * @returns the decision that holds
   */
  async #publish(
    candidates: ReadonlyMap<string, Candidate>,
    served: ReadonlyMap<string, ValidatedIdentity>,
    request: Request,
    now: number,
  ): Promise<Decision> {
    const decision = decide(candidates, served, now);
    if (this.#isPublished(decision.target, served, now)) return decision;
    const publication = await this.#publisher.prepare(decision.target, now);
    const usable = refuse(candidates, publication.failures);
    if (usable) {
      publication.abort();
      return this.#publish(usable, served, request, now);
    }
    const drained = await publication.commit();
    this.#publishedAt = now;
    const durationMs = Math.round((performance.now() - request.since) * 10) / 10;
    for (const verdict of decision.verdicts) {
      if (verdict.result !== 'applied' && verdict.result !== 'dropped') continue;
      if (request.trigger === 'start') continue;
      const from = served.get(verdict.id);
      const rotation = {
        at: new Date(now).toISOString(),
        certificate: verdict.id,
        from: from?.leaf.fingerprint256 ?? null,
        to: verdict.served?.leaf.fingerprint256 ?? null,
        trigger: request.trigger === 'retry' ? ('event' as const) : request.trigger,
        durationMs,
        drained: (from && drained.get(from.fingerprint)) ?? 0,
      };
      this.#journal.rotated(rotation, verdict.served);
    }
    return decision;
  }

  #isPublished(target: readonly ValidatedIdentity[], served: ReadonlyMap<string, ValidatedIdentity>, now: number) {
    return (
      target.length === served.size &&
      target.every((identity) => served.get(identity.id) === identity) &&
      // Time alone may change who is the best for a name.
      target.every(({ leaf }) => validityOf(leaf, now) === validityOf(leaf, this.#publishedAt))
    );
  }

  #schedule(wakeAt: number | null, now: number, verdicts: readonly Verdict[], request: Request): void {
    if (this.#wake) clearTimeout(this.#wake);
    this.#wake = null;
    if (wakeAt !== null && this.#following && !this.#stopped) {
      const wait = Math.min(wakeAt - now, longestTimer);
      this.#wake = setTimeout(() => this.#mark(this.#readers, 'schedule', false), wait).unref();
    }
    const rejected = new Set(verdicts.filter(({ result }) => result === 'rejected').map(({ source }) => source));
    const wrong = this.#readers.filter(({ source, state }) => state.failure !== null || rejected.has(source.id));
    // Something new happened, or all is well: start over with the short delays. A resync that finds the same as ever is nothing new.
    const repeated = request.trigger === 'retry' || (request.trigger === 'resync' && !this.#journal.undecided);
    if (wrong.length === 0 || !repeated) this.#retries = 0;
    if (wrong.length > 0 && (!repeated || request.trigger === 'retry')) this.#scheduleRetry(wrong);
  }

  /** Looks again at sources that hold something wrong: it may be half-written. */
  #scheduleRetry(readers: readonly SourceReader[]): void {
    const wait = retryDelays[this.#retries];
    if (wait === undefined || !this.#following || this.#stopped) return;
    this.#retries += 1;
    if (this.#retry) clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.#mark(readers, 'retry', true), wait).unref();
  }
}

/** The candidates without those that the TLS library refused; null when it refused none of them. */
function refuse(
  candidates: ReadonlyMap<string, Candidate>,
  failures: readonly Finding[],
): ReadonlyMap<string, Candidate> | null {
  const usable = new Map(candidates);
  let refused = false;
  for (const failure of failures) {
    const candidate = candidates.get(failure.identity ?? '');
    if (!candidate?.identity) continue;
    usable.set(candidate.id, { ...candidate, identity: null, findings: [...candidate.findings, failure] });
    refused = true;
  }
  return refused ? usable : null;
}
