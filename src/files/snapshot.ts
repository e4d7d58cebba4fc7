import { lstat, readdir, realpath } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { systemCode } from '../errors.ts';
import { linkDirectories } from './links.ts';
import {
  type FileContent,
  FileFault,
  type FileIdentity,
  identityAt,
  isAbsence,
  readContent,
  sameIdentity,
} from './read.ts';
import { isWholeReplacement, settleTime } from './settle.ts';
import type { WatchTarget } from './watch-service.ts';

/** What to read. */
export interface SnapshotRequest {
  /** A directory (searched with its sub-directories) or a file. */
  readonly path: string;
  /** Whether a file of this name is wanted. */
  readonly wanted: (name: string) => boolean;
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
  /** What to watch to hear of the next change. */
  readonly watch: readonly WatchTarget[];
}

const depthLimit = 8;
const attempts = 8;
/** A content whose last change is this much older than its reading cannot have changed unseen within one tick of the clock. */
const racyNs = 2_000_000_000n;

interface Located {
  /** Path below the source. */
  readonly name: string;
  readonly path: string;
  /** Below a Kubernetes `..data` link: replaced as a whole, never written in place. */
  readonly atomic: boolean;
}

interface Scan {
  readonly located: Located[];
  readonly faults: Map<string, FileFault>;
  readonly directories: Set<string>;
  /** Directories outside the tree that links lead through. */
  readonly linked: Set<string>;
  /** Links that were resolved once, and to what; they must still lead there afterwards. */
  readonly resolved: Map<string, string>;
}

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
      const snapshot = await this.#attempt(request);
      if (snapshot) return snapshot;
    }
    throw new FileFault('SNAPSHOT_UNSTABLE', request.path, `${request.path} kept changing while it was read`);
  }

  /** One consistent reading, or null when something moved under it. */
  async #attempt(request: SnapshotRequest): Promise<Snapshot | null> {
    const scan = await scanPath(request);
    if (scan === null) return null;
    if (scan === 'absent') {
      this.#remembered.clear();
      const watch = [{ directory: request.path, recursive: true }];
      return { exists: false, files: new Map(), faults: new Map(), watch };
    }
    const contents = await Promise.all(scan.located.map((file) => this.#content(file, request.thorough, scan.faults)));
    if (contents.includes(null)) return null;
    const files = new Map<string, FileContent>();
    for (const content of contents as (Reading | 'fault')[]) {
      if (content !== 'fault') files.set(content.file.name, content.content);
    }
    if (!(await settled(contents as (Reading | 'fault')[])) || !(await unmoved(scan))) return null;
    this.#remember(scan, contents as (Reading | 'fault')[]);
    const watch = [...scan.directories].map((directory) => ({ directory, recursive: directory === request.path }));
    for (const directory of scan.linked) watch.push({ directory, recursive: false });
    return { exists: true, files, faults: scan.faults, watch };
  }

  /** The content of a file, null when it vanished, 'fault' when it cannot be used. */
  async #content(file: Located, thorough: boolean, faults: Map<string, FileFault>): Promise<Reading | 'fault' | null> {
    const before = this.#remembered.get(file.name);
    try {
      if (before && !thorough && before.readAtNs - before.content.identity.changedNs > racyNs) {
        const identity = await identityAt(file.path);
        if (identity && sameIdentity(identity, before.content.identity)) return { file, ...before, wait: 0 };
      }
      const readAtNs = BigInt(Date.now()) * 1_000_000n;
      const content = await readContent(file.path);
      if (!content) return null;
      const finished = file.atomic || isFinished(content, before?.content);
      const wait = finished ? 0 : settleTime(content.identity, before?.content.identity, Date.now());
      return { file, content, readAtNs, wait };
    } catch (error) {
      if (!(error instanceof FileFault)) throw error;
      faults.set(file.name, error);
      return 'fault';
    }
  }

  #remember(scan: Scan, contents: readonly (Reading | 'fault')[]): void {
    const remembered = new Map<string, Remembered>();
    for (const reading of contents) {
      if (reading !== 'fault') remembered.set(reading.file.name, reading);
    }
    // A file that cannot be read now keeps what was known of it, so that an in-place write is recognised afterwards.
    for (const name of scan.faults.keys()) {
      const known = this.#remembered.get(name);
      if (known) remembered.set(name, known);
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
}

/** Waits once for all files that may be unfinished, and tells whether each of them is still what was read. */
async function settled(contents: readonly (Reading | 'fault')[]): Promise<boolean> {
  const doubtful = contents.filter((reading) => reading !== 'fault' && reading.wait > 0) as Reading[];
  if (doubtful.length === 0) return true;
  await delay(Math.max(...doubtful.map((reading) => reading.wait)));
  const again = await Promise.all(
    doubtful.map(async ({ file, content }) => {
      const now = await readContent(file.path).catch(() => null);
      return now !== null && now.digest === content.digest && sameIdentity(now.identity, content.identity);
    }),
  );
  return again.every(Boolean);
}

/** Whether every link that was resolved once still leads to the same place. */
async function unmoved(scan: Scan): Promise<boolean> {
  for (const [link, target] of scan.resolved) {
    if ((await realpath(link).catch(() => null)) !== target) return false;
  }
  return true;
}

async function scanPath(request: SnapshotRequest): Promise<Scan | 'absent' | null> {
  let root: string;
  let identity: FileIdentity | null;
  try {
    root = await realpath(request.path);
    identity = await identityAt(root);
  } catch (error) {
    if (isAbsence(error)) return 'absent';
    throw unreadable(error, request.path);
  }
  if (!identity) return 'absent';
  const scan: Scan = {
    located: [],
    faults: new Map(),
    directories: new Set([request.path]),
    linked: new Set(root === request.path ? [] : await linkDirectories(request.path)),
    resolved: new Map([[request.path, root]]),
  };
  const stats = await lstat(root).catch(() => null);
  if (!stats) return null;
  if (!stats.isDirectory()) {
    const name = request.path.slice(request.path.lastIndexOf('/') + 1);
    scan.directories.clear();
    scan.linked.add(join(request.path, '..'));
    // The file may be replaced at any time; only what it leads to at the moment of opening counts.
    scan.resolved.clear();
    scan.located.push({ name, path: request.path, atomic: false });
    return scan;
  }
  if (root !== request.path) scan.directories.add(root);
  try {
    return (await scanDirectory(root, root, request.wanted, scan, new Set([root]), 0)) ? scan : null;
  } catch (error) {
    throw unreadable(error, request.path);
  }
}

function unreadable(error: unknown, path: string): unknown {
  if (error instanceof FileFault) return error;
  return new FileFault('SOURCE_UNREADABLE', path, `${path} cannot be listed (${systemCode(error) ?? 'unknown error'})`);
}

/** Finds the wanted files below a directory. @returns false when something vanished meanwhile */
async function scanDirectory(
  root: string,
  directory: string,
  wanted: SnapshotRequest['wanted'],
  scan: Scan,
  visited: Set<string>,
  depth: number,
): Promise<boolean> {
  const entries = await readdir(directory, { withFileTypes: true }).catch((error: unknown) => {
    if (isAbsence(error)) return null;
    throw error;
  });
  if (entries === null) return false;
  const data = entries.some((entry) => entry.name === '..data') ? join(directory, '..data') : null;
  const current = data === null ? null : await realpath(data).catch(() => null);
  if (data !== null && current !== null) scan.resolved.set(data, current);
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (entry.name.startsWith('.')) continue;
    const path = join(directory, entry.name);
    if (entry.isDirectory()) {
      if (depth < depthLimit && !(await scanSub(root, path, path, wanted, scan, visited, depth))) return false;
      continue;
    }
    if (entry.isSymbolicLink()) {
      const target = await realpath(path).catch(() => null);
      // A dangling link is as good as no file: the writer may be between two steps.
      if (target === null) continue;
      const stats = await lstat(target).catch(() => null);
      if (stats?.isDirectory() && !wanted(entry.name)) {
        for (const through of await linkDirectories(path)) scan.linked.add(through);
        if (depth < depthLimit && !(await scanSub(root, path, target, wanted, scan, visited, depth))) return false;
        continue;
      }
      if (!wanted(entry.name)) continue;
      const below = current !== null && target.startsWith(`${current}/`);
      if (!below) for (const through of await linkDirectories(path)) scan.linked.add(through);
      scan.located.push({ name: relative(root, path), path: below ? target : path, atomic: below });
      continue;
    }
    if (wanted(entry.name)) scan.located.push({ name: relative(root, path), path, atomic: false });
  }
  return true;
}

async function scanSub(
  root: string,
  path: string,
  real: string,
  wanted: SnapshotRequest['wanted'],
  scan: Scan,
  visited: Set<string>,
  depth: number,
): Promise<boolean> {
  if (visited.has(real)) return true;
  visited.add(real);
  if (path !== real) scan.directories.add(real);
  try {
    return await scanDirectory(root, path, wanted, scan, visited, depth + 1);
  } catch (error) {
    // One unreadable sub-directory is its own fault, not that of the others.
    const name = relative(root, path);
    scan.faults.set(name, new FileFault('FILE_UNREADABLE', path, `${path} cannot be listed (${systemCode(error)})`));
    return true;
  }
}
