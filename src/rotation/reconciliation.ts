import { rest } from '../pace.ts';
import type { Activation, Occasion } from './activation.ts';
import { decideBundles } from './bundles.ts';
import { gather } from './gather.ts';
import type { Journal, Trigger } from './journal.ts';
import type { GenerationPublisher } from './publisher.ts';
import type { Report, RunRequest } from './request.ts';
import type { SourceReader } from './source-reader.ts';
import type { Decision } from './types.ts';

/** Who asks in these ways waits for an answer: what may be the middle of a change is told as it is. */
const insistent: ReadonlySet<Trigger> = new Set(['start', 'api', 'signal', 'rollback']);

/** What a run came to. */
export interface Outcome {
  readonly report: Report;
  /** The one that holds. */
  readonly decision: Decision;
  /** The time it was made for, milliseconds since 1970. */
  readonly now: number;
}

/** What one run does with what was read: brings what is served in line with it, and tells what came of that. One run at a time. */
export class Reconciliation {
  readonly #readers: readonly SourceReader[];
  readonly #publisher: GenerationPublisher;
  readonly #journal: Journal;
  readonly #activation: Activation;
  readonly #owners = new Map<string, SourceReader>();

  constructor(
    readers: readonly SourceReader[],
    publisher: GenerationPublisher,
    journal: Journal,
    activation: Activation,
  ) {
    this.#readers = readers;
    this.#publisher = publisher;
    this.#journal = journal;
    this.#activation = activation;
  }

  /** @param now milliseconds since 1970 */
  async run(request: RunRequest, now: number): Promise<Outcome> {
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
    const occasion: Occasion = { candidates, bundles: usable, ticketKeys, trigger, since, accept, compromised };
    let decision = await this.#activation.run(occasion, now);
    const tell = () => {
      this.#journal.decided(decision.verdicts, trust, failures, insistent.has(trigger));
      this.#journal.published(this.#publisher.current);
    };
    for (const { state } of request.sources) this.#journal.noticed(state.source, state.warnings);
    this.#journal.noticed('ticket-keys', this.#activation.ticketKeys.warnings);
    tell();
    await rest();
    // What is served is known before the listeners have been asked for it.
    const corrected = await this.#activation.confirm(occasion, decision, now);
    if (corrected) {
      decision = corrected;
      tell();
    }
    const generation = this.#publisher.current.number;
    return { report: { generation, verdicts: decision.verdicts, bundles: trust, failures }, decision, now };
  }
}
