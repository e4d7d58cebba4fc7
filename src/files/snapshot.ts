import { setTimeout as delay } from 'node:timers/promises';
import { LayeredMap } from './layered-map.ts';
import { linkDirectories } from './links.ts';
import { type FileContent, FileFault, identityAt, readContent, sameIdentity } from './read.ts';
import { type Located, relisted, type Scan, scanPath, unmoved, type Wanted } from './scan.ts';
import { countBlocks, isWholeReplacement, settleTime } from './settle.ts';
import { stirredFiles } from './stirred.ts';
import type { WatchTarget } from './watch-targets.ts';

/** What to read. */
export interface SnapshotRequest {
  /** A directory (searched with its sub-directories) or a file. */
  readonly path: string;
  /** Whether a file of this name is wanted. */
  readonly wanted: Wanted;
  /** Read every content again, even where nothing suggests that it changed. */
  readonly thorough: boolean;
  /**
   * Paths of which something was heard since the last reading. Among thousands of files only these are looked at; what else may have
   * changed unheard is found by the next reading without it.
   */
  readonly stirred?: readonly string[];
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
  /** What it has of an earlier one; absent when that is not known. */
  readonly since?: Since;
}

/** How a snapshot differs from an earlier one. */
export interface Since {
  /** The files of that one, the very object. */
  readonly files: ReadonlyMap<string, FileContent>;
  /** Names of files that have another content, came, or went. Of all others the content is the same object. */
  readonly changed: ReadonlySet<string>;
}

const attempts = 8;
/** Files that are open at once: a directory of thousands must not use up the descriptors that connections need. */
const readers = 32;
/** A content whose last change is this much older than its reading cannot have changed unseen within one tick of the clock. */
const racyNs = 2_000_000_000n;

/** Files up to which all are looked at each time: it takes no longer than a millisecond or two. */
const few = 128;

interface Remembered {
  readonly content: FileContent;
  /** PEM blocks in it. */
  readonly blocks: number;
  readonly readAtNs: bigint;
}

/** What the last reading found. */
interface Last {
  readonly path: string;
  readonly scan: Scan;
  readonly snapshot: Snapshot;
}

/** Reads snapshots of one source, and remembers contents between them. */
export class SnapshotReader {
  #remembered = new Map<string, Remembered>();
  #last: Last | null = null;
  readonly #progress: () => void;

  /** @param progress called with each file that is looked at */
  constructor(progress: () => void = () => {}) {
    this.#progress = progress;
  }

  /**
   * @throws FileFault SNAPSHOT_UNSTABLE when the files do not hold still, SOURCE_UNREADABLE when the path cannot be listed
   */
  async read(request: SnapshotRequest): Promise<Snapshot> {
    if (request.stirred && this.#remembered.size > few) {
      const snapshot = await this.#readStirred(request, request.stirred);
      if (snapshot) return snapshot;
    }
    this.#last = null;
    for (let attempt = 1; attempt <= attempts; attempt += 1) {
      const snapshot = await this.#attempt(request, attempt === attempts);
      if (snapshot) return snapshot;
    }
    throw new FileFault('SNAPSHOT_UNSTABLE', request.path, `${request.path} kept changing while it was read`);
  }

  /**
   * Lets go of the bytes of files, for a caller who has them: that they did not change, or how, is told all the same. Their contents are
   * empty in the snapshots to come.
   */
  lighten(names: Iterable<string>): void {
    for (const name of names) {
      const content = this.#remembered.get(name)?.content as { bytes: Buffer } | undefined;
      if (content) content.bytes = nothing;
    }
  }

  /** A consistent reading of a few files, beside the others as they were; null when it takes a look at everything. */
  async #readStirred(request: SnapshotRequest, stirred: readonly string[]): Promise<Snapshot | null> {
    const last = this.#last;
    if (last?.path !== request.path || last.snapshot.faults.size > 0) return null;
    for (let attempt = 1; attempt < attempts; attempt += 1) {
      const files = await stirredFiles(last.scan, request, stirred);
      if (!files) return null;
      const readings: Reading[] = [];
      const faults = new Map<string, FileFault>();
      for (const file of files.present) {
        const reading = await this.#content(file, true, faults);
        if (reading !== null && reading !== 'fault') readings.push(reading);
      }
      const restless = await unsettled(readings);
      if (faults.size > 0 || !(await unmoved(last.scan))) return null;
      const again = await stirredFiles(last.scan, request, stirred);
      if (restless.length > 0 || readings.length < files.present.length || !again?.sameAs(files)) continue;
      return this.#amend(last, readings, files.absent);
    }
    return null;
  }

  /** The last snapshot with some files as they are now. */
  #amend(last: Last, readings: readonly Reading[], absent: readonly string[]): Snapshot {
    const before = last.snapshot.files;
    const changed = new Set<string>();
    for (const name of absent) {
      this.#remembered.delete(name);
      if (before.has(name)) changed.add(name);
    }
    for (const reading of readings) {
      const { name } = reading.file;
      this.#remembered.set(name, reading);
      const known = before.get(name);
      if (known?.digest !== reading.content.digest || known.path !== reading.content.path) changed.add(name);
    }
    let files = before;
    if (changed.size > 0) {
      const changes = new Map<string, FileContent | null>();
      for (const name of absent) changes.set(name, null);
      for (const { file, content } of readings) if (changed.has(file.name)) changes.set(file.name, content);
      const amended = LayeredMap.over(before, changes);
      files = readings.some(({ file }) => !before.has(file.name)) ? sorted(amended) : amended;
    }
    const snapshot = { ...last.snapshot, files, since: { files: before, changed } };
    this.#last = { ...last, snapshot };
    return snapshot;
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
    const snapshot = { exists: true, files, faults: scan.faults, dangling: scan.dangling, watch };
    this.#last = { path: request.path, scan: { ...scan, located: [] }, snapshot };
    return snapshot;
  }

  /** The content of a file, null when it vanished, 'fault' when it cannot be used. */
  async #content(file: Located, thorough: boolean, faults: Map<string, FileFault>): Promise<Reading | 'fault' | null> {
    const before = this.#remembered.get(file.name);
    this.#progress();
    try {
      if (before && !thorough && before.readAtNs - before.content.identity.changedNs > racyNs) {
        const identity = await identityAt(file.path);
        if (identity && sameIdentity(identity, before.content.identity))
          return { ...before, file, wait: 0, fresh: false };
      }
      const readAtNs = BigInt(Date.now()) * 1_000_000n;
      const content = await readContent(file.path);
      if (!content) return null;
      const finished = file.atomic || isFinished(content, before);
      const wait = finished ? 0 : settleTime(content.identity, before?.content.identity, Date.now());
      return { file, content, blocks: countBlocks(content.bytes), readAtNs, wait, fresh: true };
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

/** By name. */
export function sorted<T>(files: ReadonlyMap<string, T>): Map<string, T> {
  return new Map([...files].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Whether a content needs no second look, whatever its time stamps say. */
function isFinished(now: FileContent, before: Remembered | undefined): boolean {
  if (!before) return false;
  if (now.digest === before.content.digest) return true;
  const { inode, device } = before.content.identity;
  const replaced = now.identity.inode !== inode || now.identity.device !== device;
  return replaced && isWholeReplacement(now.bytes, before.blocks);
}

const nothing = Buffer.alloc(0);

interface Reading extends Remembered {
  readonly file: Located;
  /** Milliseconds after which it must be read again to be believed. */
  readonly wait: number;
  /** Whether it was read now, and is not the remembered content of a file that did not change. */
  readonly fresh: boolean;
}

/** Finds what is not, or no longer, what was read, and what came or went meanwhile. */
async function changedMeanwhile(scan: Scan, readings: readonly Reading[], wanted: Wanted): Promise<Located[]> {
  return [...(await unsettled(readings)), ...(await relisted(scan, wanted))];
}

/** Waits once for all files that may be unfinished, and finds those that are not, or no longer, what was read. */
async function unsettled(readings: readonly Reading[]): Promise<Located[]> {
  const wait = readings.reduce((longest, reading) => Math.max(longest, reading.wait), 0);
  if (wait > 0) await delay(wait);
  const changed: Located[] = [];
  // Where all is as remembered there is nothing new that could disagree with the rest.
  const doubtful = readings.some(({ fresh }) => fresh) ? readings.filter(({ file }) => !file.atomic) : [];
  await limited(doubtful, async (reading) => {
    if (!(await isStill(reading))) changed.push(reading.file);
  });
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
