import type { Journal } from './journal.ts';
import { type Calls, LookingAgain } from './looking-again.ts';
import type { Outcome } from './reconciliation.ts';
import type { RunRequest } from './request.ts';
import type { SourceReader, SourceState } from './source-reader.ts';
import type { TicketKeys } from './ticket-keys.ts';

/** What the last run left to be done: knows whether an event is about nothing, and when to look again though nothing is heard. */
export class Leftovers {
  readonly #readers: readonly SourceReader[];
  readonly #journal: Journal;
  readonly #ticketKeys: TicketKeys;
  readonly #again: LookingAgain<SourceReader>;
  /** What the last run found, and whether there was nothing left to do about it. */
  readonly #decidedOn = new Map<SourceReader, SourceState>();
  #settled = false;

  /** @param calls what is called when it is time to look again */
  constructor(readers: readonly SourceReader[], journal: Journal, ticketKeys: TicketKeys, calls: Calls<SourceReader>) {
    this.#readers = readers;
    this.#journal = journal;
    this.#ticketKeys = ticketKeys;
    this.#again = new LookingAgain(calls);
  }

  /** A run begins, on what was read. */
  begin(): void {
    this.#settled = false;
    for (const reader of this.#readers) this.#decidedOn.set(reader, reader.state);
  }

  /** Something is to be done that no source tells of. */
  unsettle(): void {
    this.#settled = false;
  }

  /** Whether an event was about nothing: what was read is what was decided on, and all of it is served. */
  isIdle(request: RunRequest): boolean {
    if (!this.#settled || !request.isEvent) return false;
    return this.#readers.every((reader) => {
      const [before, after] = [this.#decidedOn.get(reader), reader.state];
      if (!before || before.failure || after.failure || before.warnings.length + after.warnings.length > 0)
        return false;
      const isSame = before.candidates === after.candidates && before.bundles === after.bundles;
      return isSame && before.ticketKeys === after.ticketKeys && before.askAgainAt === after.askAgainAt;
    });
  }

  /** A run ended: sees when to look again at what it left. */
  schedule(request: RunRequest, { decision, report, now }: Outcome): void {
    const { wakeAt, verdicts, touched = verdicts } = decision;
    const turns = [wakeAt, this.#ticketKeys.renewAt].filter((at) => at !== null);
    this.#again.wakeIn(turns.length === 0 ? null : Math.min(...turns) - now);
    for (const reader of request.sources) {
      const { failure, askAgainAt } = reader.state;
      this.#again.askIn(reader, failure || askAgainAt === null ? null : askAgainAt - now);
    }
    const rejected = new Set(touched.filter(({ result }) => result === 'rejected').map(({ source }) => source));
    for (const { source, error } of report.bundles) if (error) rejected.add(source);
    const wrong = this.#readers.filter(({ source, state }) => state.failure !== null || rejected.has(source.id));
    this.#settled = wrong.length === 0 && touched.every(({ error }) => error === null);
    // A resync that finds the same as ever is nothing new, nor is what happened to other sources.
    const found = request.marks.has('resync') && this.#journal.undecided;
    const news = found || wrong.some((reader) => request.stirred.has(reader));
    if (wrong.length === 0 || news) this.#again.startOver();
    if (wrong.length > 0 && (news || request.marks.has('retry'))) this.#again.retry(wrong);
  }

  /** A run failed: all of it is tried again. */
  retryAll(): void {
    this.#again.retry(this.#readers);
  }

  /** Looks no more. */
  stop(): void {
    this.#again.stop();
  }
}
