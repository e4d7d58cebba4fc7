import { Worker } from 'node:worker_threads';
import { LayeredMap } from './layered-map.ts';
import { unpackFiles } from './packing.ts';
import { type FileContent, FileFault } from './read.ts';
import { type Snapshot, sorted } from './snapshot.ts';
import type { FaultMessage, ReadMessage, ReplyMessage, SnapshotMessage } from './thread-messages.ts';

export interface ThreadedRequest {
  /** A directory (searched with its sub-directories) or a file. */
  readonly path: string;
  /** Lower-case extensions with their dot; null for every file. */
  readonly extensions: ReadonlySet<string> | null;
  /** Read every content again, even where nothing suggests that it changed. */
  readonly thorough: boolean;
  /** Paths of which something was heard since the last reading: among thousands of files only these are looked at. */
  readonly stirred?: readonly string[];
}

interface Call {
  readonly message: ReadMessage;
  /** When it was asked, or the thread gave a sign of life, monotonic milliseconds. */
  askedAt: number;
  resolve(snapshot: SnapshotMessage): void;
  reject(error: FileFault): void;
}

/** Milliseconds after which a thread counts as stuck in a system call, on a file system that does not answer. */
const stuckAfter = 2000;

/**
 * Reads snapshots in a thread of its own. A snapshot takes dozens of system calls, each a turn of the event loop: beside the
 * traffic of a busy proxy those turns, not the disk, are what a rotation would wait for. Here it waits for one.
 *
 * A thread that is stuck keeps the call it is stuck in; all the others are asked again of a new one.
 */
class ReadingThread {
  #worker: Worker | null = null;
  /** In the order in which they were asked, by thread. */
  readonly #calls = new Map<Worker, Map<number, Call>>();
  #watchdog: NodeJS.Timeout | null = null;
  #lastCall = 0;
  #lastReader = 0;

  newReader(): number {
    return this.#lastReader++;
  }

  /** @param known the number of the snapshot that the reader has of that path; 0: none */
  read(reader: number, request: ThreadedRequest, known: number): Promise<SnapshotMessage> {
    const { path, extensions, thorough, stirred = null } = request;
    return new Promise((resolve, reject) => {
      const message = { call: this.#lastCall++, reader, path, extensions, thorough, stirred, known };
      this.#ask({ message, askedAt: performance.now(), resolve, reject });
    });
  }

  /** Whether a thread waits for a file system that does not answer. */
  get isStuck(): boolean {
    return [...this.#calls].some(([worker, calls]) => worker !== this.#worker && calls.size > 0);
  }

  #ask(call: Call): void {
    this.#worker ??= this.#start();
    this.#calls.get(this.#worker)?.set(call.message.call, call);
    // Nobody who waits for an answer should see the process end instead.
    this.#worker.ref();
    this.#worker.postMessage(call.message);
    this.#watchdog ??= setInterval(() => this.#replaceStuck(), stuckAfter / 2).unref();
  }

  #start(): Worker {
    // Unbuilt sources and the built ones differ in their ending.
    const ending = import.meta.url.slice(import.meta.url.lastIndexOf('.'));
    const worker = new Worker(new URL(`./snapshot-thread${ending}`, import.meta.url), {
      name: 'files',
      stdin: false,
      // What it reads it hands over at once: room for more of it would only be memory that is not given back.
      resourceLimits: { maxYoungGenerationSizeMb: 6 },
    });
    this.#calls.set(worker, new Map());
    worker.on('message', (reply: ReplyMessage | null) => {
      if (reply) this.#answered(worker, reply);
      else this.#isAlive(worker);
    });
    worker.on('error', (error) => this.#ended(worker, String(error)));
    worker.on('exit', (code) => this.#ended(worker, `exit code ${code}`));
    return worker;
  }

  #isAlive(worker: Worker): void {
    const now = performance.now();
    for (const call of this.#calls.get(worker)?.values() ?? []) call.askedAt = now;
  }

  #answered(worker: Worker, { call: id, snapshot, fault }: ReplyMessage): void {
    const calls = this.#calls.get(worker);
    const call = calls?.get(id);
    calls?.delete(id);
    if (calls?.size === 0) this.#idle(worker);
    if (fault) call?.reject(toFault(fault));
    else if (snapshot) call?.resolve(snapshot);
  }

  /** The one that serves waits for the next call; one that was stuck and has answered is done. */
  #idle(worker: Worker): void {
    worker.unref();
    if (worker !== this.#worker) void worker.terminate();
    if ([...this.#calls.values()].some((calls) => calls.size > 0)) return;
    if (this.#watchdog) clearInterval(this.#watchdog);
    this.#watchdog = null;
  }

  #replaceStuck(): void {
    const worker = this.#worker;
    const calls = worker ? this.#calls.get(worker) : undefined;
    const [stuck, ...others] = calls?.values() ?? [];
    if (!worker || !stuck || performance.now() - stuck.askedAt < stuckAfter) return;
    this.#worker = null;
    // Whether the file system ever answers or not: it does not keep the process.
    worker.unref();
    for (const call of others) {
      calls?.delete(call.message.call);
      this.#ask(call);
    }
  }

  /** A thread is gone: who waits for it is told, and the next call starts another. */
  #ended(worker: Worker, reason: string): void {
    const calls = this.#calls.get(worker) ?? new Map<number, Call>();
    this.#calls.delete(worker);
    if (this.#worker === worker) this.#worker = null;
    for (const { message, reject } of calls.values()) {
      const text = `${message.path} was not read: the reading thread ended (${reason})`;
      reject(new FileFault('SOURCE_UNREADABLE', message.path, text));
    }
  }
}

function toFault({ code, path, message }: FaultMessage): FileFault {
  return new FileFault(code, path, message);
}

const thread = new ReadingThread();

/** Whether a reading thread waits for a file system that does not answer. A process with such a thread cannot end by itself. */
export function isReadingStuck(): boolean {
  return thread.isStuck;
}

/** What the last answer told. */
interface Held {
  readonly number: number;
  readonly path: string;
  readonly files: ReadonlyMap<string, FileContent>;
}

const nothing: Held = { number: 0, path: '', files: new Map() };

/** A {@link SnapshotReader} in the reading thread, which all of them share. What did not change since the last snapshot does not travel again. */
export class ThreadedReader {
  readonly #id = thread.newReader();
  #held = nothing;

  /** @throws FileFault as SnapshotReader does */
  async read(request: ThreadedRequest): Promise<Snapshot> {
    const known = this.#held.path === request.path ? this.#held.number : 0;
    const message = await thread.read(this.#id, request, known);
    // Another answer came in between, and differs from something else.
    if (message.base !== 0 && message.base !== this.#held.number) return this.read({ ...request, thorough: true });
    return this.#take(request.path, message);
  }

  #take(path: string, { number, base, changed, gone, ...message }: SnapshotMessage): Snapshot {
    const before = base === 0 ? nothing.files : this.#held.files;
    const isSame = base !== 0 && gone.length === 0 && changed.names.length === 0;
    const files = isSame ? before : amended(before, gone, changed);
    this.#held = { number, path, files };
    const faults = new Map([...message.faults].map(([name, one]) => [name, toFault(one)]));
    const since = { files: before, changed: new Set([...changed.names, ...gone]) };
    return { ...message, files, faults, ...(base === 0 ? {} : { since }) };
  }
}

function amended(
  before: ReadonlyMap<string, FileContent>,
  gone: readonly string[],
  changed: SnapshotMessage['changed'],
): ReadonlyMap<string, FileContent> {
  const changes = new Map<string, FileContent | null>();
  for (const name of gone) changes.set(name, null);
  let grown = false;
  for (const [name, content] of unpackFiles(changed)) {
    grown ||= !before.has(name);
    changes.set(name, content);
  }
  const files = LayeredMap.over(before, changes);
  return before.size > 0 && grown ? sorted(files) : files;
}
