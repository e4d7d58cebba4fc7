import { basename, sep } from 'node:path';
import { messageOf, systemCode } from '../errors.ts';
import type { Logger } from '../observe/index.ts';
import { within } from '../pace.ts';
import { DirectoryWatch } from './directory-watch.ts';
import { MissingWatch } from './missing-watch.ts';
import { concerns, identitiesOf, sameMap, sameTargets, type WatchTarget } from './watch-targets.ts';

export const watchModes = ['auto', 'events', 'poll', 'off'] as const;
/**
 * `auto`: events, and polling where the system refuses them. `events`: the same without the fallback. `poll`: only look
 * again at an interval. `off`: never look again.
 */
export type WatchMode = (typeof watchModes)[number];

export interface WatchOptions {
  readonly mode: WatchMode;
  /** Milliseconds between two looks at everything, events or not. */
  readonly resync: number;
  /** Milliseconds between two looks where events are not to be had. */
  readonly pollInterval: number;
}

/** Why everything should be looked at again: the watch was just armed, time passed, or events may have been lost. */
export type RescanReason = 'armed' | 'resync' | 'poll' | 'lost';

/**
 * Hears of changes. No callback carries data: what a file holds is read by whoever needs it. All are optional.
 * `stirred` comes first and untyped, within a millisecond; the typed one follows when the kind of change is known.
 */
export interface FileListener {
  readonly stirred?: (path: string) => void;
  readonly created?: (path: string) => void;
  readonly modified?: (path: string) => void;
  readonly deleted?: (path: string) => void;
  /** Look at everything again: events may be missing. */
  readonly rescan?: (reason: RescanReason) => void;
}

export interface Subscription {
  /** Replaces what is watched. Changes nothing when the targets are the same. */
  update(targets: readonly WatchTarget[]): void;
  close(): void;
}

/** Milliseconds that closing waits for a watch that is still being set up or torn down. */
const closeLimit = 1000;

/** What watches what exists, and what waits for the rest. */
interface Watch {
  readonly existing: DirectoryWatch;
  readonly missing: MissingWatch;
}

interface Subscriber {
  readonly listener: FileListener;
  targets: readonly WatchTarget[];
}

/**
 * The one place that watches files. One watch serves all subscribers; it is armed anew when the set of directories changes or when a
 * watched directory is not the one it was (deleted and recreated, or mounted over), because a watch dies with its inode.
 */
export class FileWatchService {
  readonly #options: WatchOptions;
  readonly #logger: Logger;
  readonly #onDegraded: (reason: string) => void;
  readonly #subscribers = new Set<Subscriber>();
  #watch: Watch | null = null;
  /** Directory to whether it is watched with its sub-directories, as armed. */
  #armed = new Map<string, boolean>();
  /** What tells each armed directory from another one of the same name. */
  #identities = new Map<string, string>();
  #arming: Promise<void> | null = null;
  /** What was asked for while arming; `anew` even if the directories are the same. */
  #armAgain: { readonly anew: boolean } | null = null;
  #looking = false;
  #lookAgain = false;
  #timer: NodeJS.Timeout | null = null;
  #polling: boolean;
  #closed = false;
  #ended: Promise<void> | null = null;

  /** @param onDegraded called once when events are not to be had and polling takes over */
  constructor(options: WatchOptions, logger: Logger, onDegraded: (reason: string) => void = () => {}) {
    this.#options = options;
    this.#logger = logger;
    this.#onDegraded = onDegraded;
    this.#polling = options.mode === 'poll';
  }

  /** Whether changes are found by looking again, not by events. */
  get polling(): boolean {
    return this.#polling;
  }

  /** Registers a listener. With watching switched off nothing is ever called. */
  subscribe(listener: FileListener, targets: readonly WatchTarget[] = []): Subscription {
    const subscriber: Subscriber = { listener, targets };
    if (this.#options.mode !== 'off') {
      this.#subscribers.add(subscriber);
      this.#schedule();
      this.#arm();
    }
    return {
      update: (next) => {
        if (sameTargets(subscriber.targets, next)) return;
        subscriber.targets = next;
        if (this.#subscribers.has(subscriber)) this.#arm();
      },
      close: () => {
        if (this.#subscribers.delete(subscriber) && this.#subscribers.size > 0) this.#arm();
      },
    };
  }

  /** Ends all watching. Idempotent. */
  close(): Promise<void> {
    this.#ended ??= this.#end();
    return this.#ended;
  }

  async #end(): Promise<void> {
    this.#closed = true;
    this.#subscribers.clear();
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    const closing = async () => {
      await this.#arming;
      await this.#disarm();
    };
    // A file system that does not answer holds up the watch, and must not hold up the end of the process.
    await within(closeLimit, closing());
  }

  #schedule(): void {
    if (this.#timer || this.#closed) return;
    const interval = this.#polling ? this.#options.pollInterval : this.#options.resync;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#tick();
    }, interval);
    this.#timer.unref();
  }

  #tick(): void {
    // First: whatever hangs below, there is a next time.
    this.#schedule();
    this.#announce(this.#polling ? 'poll' : 'resync');
    void this.#rearmWhenReplaced();
  }

  #announce(reason: RescanReason): void {
    for (const subscriber of this.#subscribers) subscriber.listener.rescan?.(reason);
  }

  /** Brings the watch in line with what the subscribers want. Single-flight; a call during arming causes one more. */
  #arm(anew = false): void {
    if (this.#closed || this.#polling) return;
    if (this.#arming) {
      this.#armAgain = { anew: anew || this.#armAgain?.anew === true };
      return;
    }
    const wanted = new Map<string, boolean>();
    for (const { targets } of this.#subscribers) {
      for (const target of targets) {
        wanted.set(target.directory, target.recursive || wanted.get(target.directory) === true);
      }
    }
    if (!anew && sameMap(wanted, this.#armed)) return;
    this.#arming = this.#armWith(wanted)
      .catch((error: unknown) => this.#failed(error))
      .finally(() => {
        this.#arming = null;
        const again = this.#armAgain;
        this.#armAgain = null;
        if (again) this.#arm(again.anew);
      });
  }

  async #armWith(wanted: Map<string, boolean>): Promise<void> {
    await this.#disarm();
    // Looked up before the watch begins: a directory that is replaced meanwhile has to differ from what is noted here.
    const noted = identitiesOf(wanted.keys()).then((identities) => {
      this.#identities = identities;
      this.#armed = wanted;
    });
    const failed = (error: unknown) => this.#failed(error);
    const raw = (directory: string, name: string) => this.#raw(directory, name);
    const missing = new MissingWatch({
      raw,
      appeared: (path) => this.#typed('created', path),
      failed,
    });
    const waiting: Promise<void>[] = [];
    const existing = new DirectoryWatch({
      raw,
      typed: (kind, path) => this.#typed(kind, path),
      missing: (directory) => void waiting.push(missing.await(directory)),
      failed,
    });
    this.#watch = { existing, missing };
    await existing.start(wanted);
    await Promise.all([...waiting, noted]);
    // The system refused a part of it, and polling has taken over.
    if (this.#polling) return this.#disarm();
    this.#announce('armed');
  }

  async #disarm(): Promise<void> {
    const watch = this.#watch;
    this.#watch = null;
    watch?.existing.close();
    await watch?.missing.close();
  }

  #raw(directory: string, file: string): void {
    for (const subscriber of this.#subscribers) {
      if (concerns(subscriber.targets, directory, file)) subscriber.listener.stirred?.(`${directory}${sep}${file}`);
    }
    // An event that bears the name of a watched directory is about the directory itself.
    if (file === basename(directory) || this.#armed.has(`${directory}${sep}${file}`)) void this.#rearmWhenReplaced();
  }

  #typed(kind: 'created' | 'modified' | 'deleted', path: string): void {
    const cut = path.lastIndexOf(sep);
    const directory = path.slice(0, cut);
    for (const subscriber of this.#subscribers) {
      if (concerns(subscriber.targets, directory, path.slice(cut + 1))) subscriber.listener[kind]?.(path);
    }
    if (this.#armed.has(path) && kind !== 'modified') void this.#rearmWhenReplaced();
  }

  /** One look at a time: on a file system that does not answer, each would hold up a thread. */
  async #rearmWhenReplaced(): Promise<void> {
    this.#lookAgain = true;
    if (this.#looking) return;
    this.#looking = true;
    while (this.#lookAgain && !this.#closed && !this.#polling) {
      this.#lookAgain = false;
      await this.#arming;
      if (await this.#replaced()) this.#arm(true);
    }
    this.#looking = false;
  }

  /** Whether some armed directory is another one than when it was armed. */
  async #replaced(): Promise<boolean> {
    const now = await identitiesOf(this.#armed.keys());
    for (const directory of this.#armed.keys()) {
      const identity = now.get(directory);
      // One that is gone is waited for; its reappearance is what counts.
      if (identity !== undefined && identity !== this.#identities.get(directory)) return true;
    }
    return false;
  }

  #failed(error: unknown): void {
    if (this.#closed || this.#polling) return;
    const code = systemCode(error);
    const exhausted = code === 'ENOSPC' || code === 'EMFILE' || code === 'ENFILE' || code === 'ENOSYS';
    if (!exhausted || this.#options.mode === 'events') {
      this.#logger.warn({ code: 'WATCH_UNAVAILABLE', error: messageOf(error) }, 'watching files met an error');
      this.#announce('lost');
      return;
    }
    this.#polling = true;
    void this.#disarm();
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    this.#onDegraded(messageOf(error));
    this.#announce('lost');
    this.#schedule();
  }
}
