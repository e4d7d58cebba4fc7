import type { Finding } from '../errors.ts';
import type { BundleVerdict } from './bundles.ts';
import type { Trigger } from './journal.ts';
import type { SourceReader } from './source-reader.ts';
import type { Verdict } from './types.ts';

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

/** Somebody wants to go back; it is done between reading and deciding, where nothing changes meanwhile. */
export interface Rollback {
  readonly id: string | undefined;
  resolve(rolledBack: readonly string[]): void;
  reject(error: unknown): void;
}

/** Why a source is to be read. */
interface Unread {
  /** The paths of which something was heard; null: anything may have changed. */
  stirred: Set<string> | null;
  /** Monotonic milliseconds of the first mark. */
  readonly since: number;
}

/** Why the next run is to be, gathered until it begins. */
export class RunRequest {
  /** What is to be looked at: to be read first, or read already. */
  readonly sources = new Set<SourceReader>();
  /** Those to be read first. */
  readonly unread = new Map<SourceReader, Unread>();
  /** Those of them to which something may have happened: marked neither by a retry nor by a resync. */
  readonly stirred = new Set<SourceReader>();
  readonly marks = new Set<Trigger>();
  readonly accept = new Set<string>();
  readonly compromised = new Set<string>();
  readonly rollbacks: Rollback[] = [];
  readonly waiting: { resolve(report: Report): void; reject(error: unknown): void }[] = [];
  trigger: Trigger;
  /** Monotonic milliseconds of the first mark. */
  since: number;
  thorough = false;

  constructor(trigger: Trigger, since: number) {
    this.trigger = trigger;
    this.since = since;
  }

  add(readers: readonly SourceReader[], trigger: Trigger, since: number): void {
    const stirring = trigger !== 'retry' && trigger !== 'resync';
    for (const reader of readers) {
      this.sources.add(reader);
      if (stirring) this.stirred.add(reader);
    }
    this.marks.add(trigger);
    this.since = Math.min(this.since, since);
    if (trigger === 'api' || trigger === 'signal' || trigger === 'rollback') this.trigger = trigger;
  }

  /** A source has to be read. @param path of which something was heard; null: anything may have changed */
  read(reader: SourceReader, path: string | null): void {
    const unread = this.unread.get(reader) ?? { stirred: new Set(), since: performance.now() };
    this.unread.set(reader, unread);
    if (path === null) unread.stirred = null;
    else unread.stirred?.add(path);
  }

  /** Whether there is no other reason than that something was heard, and nobody waits for what comes of it. */
  get isEvent(): boolean {
    const isAsked = this.waiting.length + this.rollbacks.length + this.accept.size + this.compromised.size > 0;
    return !isAsked && this.marks.size === 1 && this.marks.has('event');
  }

  /** Tells all who wait that it will not be, or went wrong. */
  fail(error: unknown): void {
    for (const { reject } of [...this.waiting, ...this.rollbacks]) reject(error);
  }
}
