import { setTimeout as delay } from 'node:timers/promises';
import { linkDirectories } from './links.ts';
import { type FileContent, FileFault, identityAt, readContent, sameIdentity } from './read.ts';
import { type Located, relisted, type Scan, scanPath, unmoved, type Wanted } from './scan.ts';
import { isWholeReplacement, settleTime } from './settle.ts';
import type { WatchTarget } from './watch-targets.ts';

/** What to read. */
export interface SnapshotRequest {
  /** A directory (searched with its sub-directories) or a file. */
  readonly path: string;
  /** Whether a file of this name is wanted. */
  readonly wanted: Wanted;
  /** Read every content again, even where nothing suggests that it changed. */
  readonly thorough: boolean;
}

/** Files as they stood together at one moment. */
export interface Snapshot {
  /** Whether there was anything at the path. */
  readonly exists: boolean;
  /** By path below the source (a file source: by its base name). */
  readonly files: ReadonlyMap<string, FileContent>;
  /** Files that are there and cannot be used. */
  readonly faults: ReadonlyMap<string, FileFault>;
  /** Links that lead to nothing, by their path below the source: as good as no file to most, and to some not. */
  readonly dangling: ReadonlySet<string>;
  /** What to watch to hear of the next change. */
  readonly watch: readonly WatchTarget[];
}

const attempts = 8;
/** Files that are open at once: a directory of thousands must not use up the descriptors that connections need. */
const readers = 32;
/** A content whose last change is this much older than its reading cannot have changed unseen within one tick of the clock. */
const racyNs = 2_000_000_000n;

interface Remembered {
  readonly content: FileContent;
  readonly readAtNs: bigint;
}

/** Reads snapshots of one source, and remembers contents between them. */
export class SnapshotReader {
  #remembered = new Map<string, Remembered>();

  /**
   * @throws FileFault SNAPSHOT_UNSTABLE when the files do not hold still, SOURCE_UNREADABLE when the path cannot be listed
   */
  async read(request: SnapshotRequest): Promise<Snapshot> {
    for (let attempt = 1; attempt <= attempts; attempt += 1) {
      const snapshot = await this.#attempt(request, attempt === attempts);
      if (snapshot) return snapshot;
    }
    throw new FileFault('SNAPSHOT_UNSTABLE', request.path, `${request.path} kept changing while it was read`);
  }

  /**
   * One consistent reading, or null when something moved under it.
   * @param last a file that does not hold still is its own fault now, not that of the others
   */
  async #attempt(request: SnapshotRequest, last: boolean): Promise<Snapshot | null> {
    const scan = await scanPath(request.path, request.wanted);
    if (scan === null) return null;
    if (scan === 'absent') {
      this.#remembered.clear();
      const watch = [{ directory: request.path, recursive: true }];
      for (const directory of await linkDirectories(request.path)) watch.push({ directory, recursive: false });
      return { exists: false, files: new Map(), faults: new Map(), dangling: new Set(), watch };
    }
    const readings: Reading[] = [];
    const restless: Located[] = [];
    await limited(scan.located, async (file) => {
      const reading = await this.#content(file, request.thorough, scan.faults);
      if (reading === null) restless.push(file);
      else if (reading !== 'fault') readings.push(reading);
    });
    restless.push(...(await changedMeanwhile(scan, readings, request.wanted)));
    if (!(await unmoved(scan)) || (restless.length > 0 && !last)) return null;
    readings.sort((a, b) => (a.file.name < b.file.name ? -1 : 1));
    const files = new Map(readings.map(({ file, content }) => [file.name, content]));
    for (const { name, path } of restless) {
      files.delete(name);
      scan.faults.set(name, new FileFault('SNAPSHOT_UNSTABLE', path, `${path} kept changing while it was read`));
    }
    this.#remember(scan, readings);
    const watch = [...scan.directories].map((directory) => ({ directory, recursive: true }));
    for (const directory of scan.linked) {
      if (!scan.directories.has(directory)) watch.push({ directory, recursive: false });
    }
    return { exists: true, files, faults: scan.faults, dangling: scan.dangling, watch };
  }

  /** The content of a file, null when it vanished, 'fault' when it cannot be used. */
  async #content(file: Located, thorough: boolean, faults: Map<string, FileFault>): Promise<Reading | 'fault' | null> {
    const before = this.#remembered.get(file.name);
    try {
      if (before && !thorough && before.readAtNs - before.content.identity.changedNs > racyNs) {
        const identity = await identityAt(file.path);
        if (identity && sameIdentity(identity, before.content.identity))
          return { ...before, file, wait: 0, fresh: false };
      }
      const readAtNs = BigInt(Date.now()) * 1_000_000n;
      const content = await readContent(file.path);
      if (!content) return null;
      const finished = file.atomic || isFinished(content, before?.content);
      const wait = finished ? 0 : settleTime(content.identity, before?.content.identity, Date.now());
      return { file, content, readAtNs, wait, fresh: true };
    } catch (error) {
      if (!(error instanceof FileFault)) throw error;
      faults.set(file.name, error);
      return 'fault';
    }
  }

  #remember(scan: Scan, readings: readonly Reading[]): void {
    const remembered = new Map<string, Remembered>();
    for (const reading of readings) remembered.set(reading.file.name, reading);
    // A file that cannot be read now keeps what was known of it, so that an in-place write is recognised afterwards.
    for (const name of scan.faults.keys()) {
      const known = this.#remembered.get(name);
      if (known) remembered.set(name, known);
      else remembered.delete(name);
    }
    this.#remembered = remembered;
  }
}

/** Whether a content needs no second look, whatever its time stamps say. */
function isFinished(now: FileContent, before: FileContent | undefined): boolean {
  if (!before) return false;
  if (now.digest === before.digest) return true;
  const replaced = now.identity.inode !== before.identity.inode || now.identity.device !== before.identity.device;
  return replaced && isWholeReplacement(now.bytes, before.bytes);
}

interface Reading extends Remembered {
  readonly file: Located;
  /** Milliseconds after which it must be read again to be believed. */
  readonly wait: number;
  /** Whether it was read now, and is not the remembered content of a file that did not change. */
  readonly fresh: boolean;
}

/** Waits once for all files that may be unfinished, and finds those that are not, or no longer, what was read. */
async function changedMeanwhile(scan: Scan, readings: readonly Reading[], wanted: Wanted): Promise<Located[]> {
  const wait = Math.max(0, ...readings.map((reading) => reading.wait));
  if (wait > 0) await delay(wait);
  const changed: Located[] = [];
  // Where all is as remembered there is nothing new that could disagree with the rest.
  const doubtful = readings.some(({ fresh }) => fresh) ? readings.filter(({ file }) => !file.atomic) : [];
  await limited(doubtful, async (reading) => {
    if (!(await isStill(reading))) changed.push(reading.file);
  });
  changed.push(...(await relisted(scan, wanted)));
  return changed;
}

async function isStill({ file, content, wait }: Reading): Promise<boolean> {
  try {
    const identity = await identityAt(file.path);
    const same = identity !== null && sameIdentity(identity, content.identity);
    if (same && wait === 0) return true;
    // Only touched, it is the same; one that may be unfinished has to be untouched as well.
    return (same || wait === 0) && (await readContent(file.path))?.digest === content.digest;
  } catch {
    return false;
  }
}

/** Does something with each item, a few at a time. */
async function limited<T>(items: readonly T[], task: (item: T) => Promise<void>): Promise<void> {
  const rest = items.values();
  const lane = async () => {
    for (const item of rest) await task(item);
  };
  await Promise.all(Array.from({ length: readers }, lane));
}
