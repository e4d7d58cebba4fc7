import { extname } from 'node:path';
import { parentPort } from 'node:worker_threads';
import { packFiles } from './packing.ts';
import { type FileContent, FileFault } from './read.ts';
import { type Snapshot, SnapshotReader } from './snapshot.ts';
import type { FaultMessage, ReadMessage, ReplyMessage } from './thread-messages.ts';

/** Files that are looked at between two signs of life. */
const betweenSigns = 100;
let looked = 0;

/** Tells whoever waits that the thread is not stuck: thousands of files take seconds where the machine is busy. */
function progress(): void {
  looked += 1;
  if (looked % betweenSigns === 0) parentPort?.postMessage(null);
}

/** One reader's side in this thread. */
class Reading {
  readonly #reader: SnapshotReader;
  readonly number: number;
  readonly path: string;
  /** What was sent with that number. */
  readonly #files: ReadonlyMap<string, FileContent>;

  constructor(
    number = 0,
    path = '',
    reader = new SnapshotReader(progress),
    files: ReadonlyMap<string, FileContent> = new Map(),
  ) {
    this.number = number;
    this.path = path;
    this.#reader = reader;
    this.#files = files;
  }

  read({ path, extensions, thorough, stirred }: ReadMessage): Promise<Snapshot> {
    const wanted = (name: string) => extensions === null || extensions.has(extname(name).toLowerCase());
    return this.#reader.read({ path, wanted, thorough, ...(stirred ? { stirred } : {}) });
  }

  /** What differs in a snapshot from what was sent. */
  difference({ files, since }: Snapshot) {
    const changed = new Map<string, FileContent>();
    const gone: string[] = [];
    if (since && since.files === this.#files) {
      for (const name of since.changed) {
        const content = files.get(name);
        if (content) changed.set(name, content);
        else gone.push(name);
      }
      return { changed: packFiles(changed), gone };
    }
    for (const [name, content] of files) {
      const before = this.#files.get(name);
      if (before !== content && (before?.digest !== content.digest || before.path !== content.path))
        changed.set(name, content);
    }
    if (this.#files.size + changed.size > files.size) {
      for (const name of this.#files.keys()) if (!files.has(name)) gone.push(name);
    }
    return { changed: packFiles(changed), gone };
  }

  /** The same reader, once a snapshot has been sent. */
  sent(number: number, path: string, { files, since }: Snapshot): Reading {
    // Whoever asked has the bytes.
    this.#reader.lighten(since && since.files === this.#files ? since.changed : files.keys());
    return new Reading(number, path, this.#reader, files);
  }
}

/** The thread's side: reads snapshots on request, several at a time, each for the reader that asked. */
const readings = new Map<number, Reading>();
/** Of no other thread's snapshot. */
let lastNumber = performance.timeOrigin + performance.now();

parentPort?.on('message', (message: ReadMessage) => void answer(message));

async function answer(message: ReadMessage): Promise<void> {
  const { call, reader, path, known } = message;
  try {
    const before = readings.get(reader);
    // Without what was sent before there is nothing to differ from, and the bytes of it are gone.
    let reading = before?.number === known && before.path === path ? before : new Reading();
    let snapshot = await reading.read(message);
    if (reading.number > 0 && readings.get(reader) !== reading) {
      reading = new Reading();
      snapshot = await reading.read(message);
    }
    const { changed, gone } = reading.difference(snapshot);
    const number = ++lastNumber;
    readings.set(reader, reading.sent(number, path, snapshot));
    const { exists, dangling, watch } = snapshot;
    const faults = new Map([...snapshot.faults].map(([name, fault]) => [name, faultMessage(fault)]));
    const reply: ReplyMessage = {
      call,
      snapshot: { number, base: reading.number, changed, gone, exists, faults, dangling, watch },
    };
    parentPort?.postMessage(reply, [changed.bytes]);
  } catch (error) {
    const fault =
      error instanceof FileFault
        ? faultMessage(error)
        : ({ code: 'SOURCE_UNREADABLE', path, message: `${path} cannot be read: ${String(error)}` } as const);
    parentPort?.postMessage({ call, fault } satisfies ReplyMessage);
  }
}

function faultMessage({ code, path, message }: FileFault): FaultMessage {
  return { code, path, message };
}
