import { Worker } from 'node:worker_threads';
import { FileFault } from './read.ts';
import type { Snapshot } from './snapshot.ts';
import type { FaultMessage, ReadMessage, ReplyMessage } from './thread-messages.ts';

export interface ThreadedRequest {
  /** A directory (searched with its sub-directories) or a file. */
  readonly path: string;
  /** Lower-case extensions with their dot; null for every file. */
  readonly extensions: ReadonlySet<string> | null;
  /** Read every content again, even where nothing suggests that it changed. */
  readonly thorough: boolean;
}

interface Waiting {
  resolve(snapshot: Snapshot): void;
  reject(error: FileFault): void;
}

/**
 * Reads snapshots in a thread of its own. A snapshot takes dozens of system calls, each a turn of the event loop: beside the
 * traffic of a busy proxy those turns, not the disk, are what a rotation would wait for. Here it waits for one.
 */
class ReadingThread {
  #worker: Worker | null = null;
  readonly #waiting = new Map<number, Waiting & { readonly path: string }>();
  #calls = 0;
  #readers = 0;

  newReader(): number {
    return this.#readers++;
  }

  read(reader: number, { path, extensions, thorough }: ThreadedRequest): Promise<Snapshot> {
    return new Promise((resolve, reject) => {
      const call = this.#calls++;
      this.#waiting.set(call, { path, resolve, reject });
      this.#worker ??= this.#start();
      // Nobody who waits for an answer should see the process end instead.
      this.#worker.ref();
      this.#worker.postMessage({ call, reader, path, extensions, thorough } satisfies ReadMessage);
    });
  }

  #start(): Worker {
    // Unbuilt sources and the built ones differ in their ending.
    const ending = import.meta.url.slice(import.meta.url.lastIndexOf('.'));
    const worker = new Worker(new URL(`./snapshot-thread${ending}`, import.meta.url), { name: 'files', stdin: false });
    worker.on('message', (reply: ReplyMessage) => this.#answered(reply));
    worker.on('error', (error) => this.#ended(worker, String(error)));
    worker.on('exit', (code) => this.#ended(worker, `exit code ${code}`));
    return worker;
  }

  #answered({ call, snapshot, fault }: ReplyMessage): void {
    const waiting = this.#waiting.get(call);
    this.#waiting.delete(call);
    if (this.#waiting.size === 0) this.#worker?.unref();
    if (fault) waiting?.reject(toFault(fault));
    else if (snapshot) {
      const faults = new Map([...snapshot.faults].map(([name, one]) => [name, toFault(one)]));
      // Buffers arrive as plain byte arrays.
      const files = new Map(
        [...snapshot.files].map(([name, file]) => [name, { ...file, bytes: Buffer.from(file.bytes) }]),
      );
      waiting?.resolve({ ...snapshot, files, faults });
    }
  }

  /** The thread is gone: who waits is told, and the next call starts another. */
  #ended(worker: Worker, reason: string): void {
    if (this.#worker !== worker) return;
    this.#worker = null;
    for (const [call, { path, reject }] of this.#waiting) {
      this.#waiting.delete(call);
      reject(new FileFault('SOURCE_UNREADABLE', path, `${path} was not read: the reading thread ended (${reason})`));
    }
  }
}

function toFault({ code, path, message }: FaultMessage): FileFault {
  return new FileFault(code, path, message);
}

const thread = new ReadingThread();

/** A {@link SnapshotReader} in the reading thread, which all of them share. */
export class ThreadedReader {
  readonly #id = thread.newReader();

  /** @throws FileFault as SnapshotReader does */
  read(request: ThreadedRequest): Promise<Snapshot> {
    return thread.read(this.#id, request);
  }
}
