import { join, relative } from 'node:path';
import { systemCode } from '../errors.ts';
import { disk } from './disk.ts';
import { linkDirectories } from './links.ts';
import { FileFault, type FileIdentity, identityAt, isAbsence } from './read.ts';

/** Whether a file of a name is wanted. */
export type Wanted = (name: string) => boolean;

/** A file that was found. */
export interface Located {
  /** Path below the source. */
  readonly name: string;
  readonly path: string;
  /** Below a Kubernetes `..data` link: replaced as a whole, never written in place. */
  readonly atomic: boolean;
}

/** What there is at a path, before anything is read. */
export interface Scan {
  /** What the path leads to. */
  readonly root: string;
  /** Names of the wanted files of each directory that was listed. */
  readonly listed: Map<string, ReadonlySet<string>>;
  readonly located: Located[];
  readonly faults: Map<string, FileFault>;
  /** Links with a wanted name that lead to nothing. */
  readonly dangling: Set<string>;
  readonly directories: Set<string>;
  /** Directories outside the tree that links lead through. */
  readonly linked: Set<string>;
  /** Links that were resolved once, and to what; they must still lead there afterwards. */
  readonly resolved: Map<string, string>;
}

const depthLimit = 8;

/** Whether every link that was resolved once still leads to the same place. */
export async function unmoved(scan: Scan): Promise<boolean> {
  for (const [link, target] of scan.resolved) {
    if ((await disk.realpath(link).catch(() => null)) !== target) return false;
  }
  return true;
}

/** Finds the files that came or went since the directories were listed. */
export async function relisted(scan: Scan, wanted: Wanted): Promise<Located[]> {
  const changed: Located[] = [];
  for (const [directory, before] of scan.listed) {
    const entries = await disk.readdir(directory).catch(() => []);
    const names = entries.map((entry) => entry.name);
    for (const name of new Set(names.filter((one) => isVisible(one, wanted))).symmetricDifference(before)) {
      const path = join(directory, name);
      changed.push({ name: relative(scan.root, path), path, atomic: false });
    }
  }
  return changed;
}

function isVisible(name: string, wanted: Wanted): boolean {
  return !name.startsWith('.') && wanted(name);
}

/**
 * Finds the wanted files at a path.
 * @returns 'absent' when there is nothing at the path, null when something vanished meanwhile
 * @throws FileFault SOURCE_UNREADABLE when the path cannot be listed
 */
export async function scanPath(path: string, wanted: Wanted): Promise<Scan | 'absent' | null> {
  let root: string;
  let identity: FileIdentity | null;
  try {
    root = await disk.realpath(path);
    identity = await identityAt(root);
  } catch (error) {
    if (isAbsence(error)) return 'absent';
    throw unreadable(error, path);
  }
  if (!identity) return 'absent';
  const scan: Scan = {
    root,
    listed: new Map(),
    located: [],
    faults: new Map(),
    dangling: new Set(),
    directories: new Set([path]),
    linked: new Set(root === path ? [] : await linkDirectories(path)),
    resolved: new Map([[path, root]]),
  };
  const stats = await disk.lstat(root).catch(() => null);
  if (!stats) return null;
  if (!stats.isDirectory()) {
    const name = path.slice(path.lastIndexOf('/') + 1);
    scan.directories.clear();
    scan.linked.add(join(path, '..'));
    // The file may be replaced at any time; only what it leads to at the moment of opening counts.
    scan.resolved.clear();
    scan.located.push({ name, path, atomic: false });
    return scan;
  }
  if (root !== path) scan.directories.add(root);
  try {
    return (await scanDirectory(root, root, wanted, scan, new Set([root]), 0)) ? scan : null;
  } catch (error) {
    throw unreadable(error, path);
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
  wanted: Wanted,
  scan: Scan,
  visited: Set<string>,
  depth: number,
): Promise<boolean> {
  const entries = await disk.readdir(directory).catch((error: unknown) => {
    if (isAbsence(error)) return null;
    throw error;
  });
  if (entries === null) return false;
  const names = entries.map((entry) => entry.name).filter((name) => isVisible(name, wanted));
  scan.listed.set(directory, new Set(names));
  const data = entries.some((entry) => entry.name === '..data') ? join(directory, '..data') : null;
  const current = data === null ? null : await disk.realpath(data).catch(() => null);
  if (data !== null && current !== null) scan.resolved.set(data, current);
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (entry.name.startsWith('.')) continue;
    const path = join(directory, entry.name);
    if (entry.isDirectory()) {
      const found = scan.located.length;
      if (depth < depthLimit && !(await scanSub(root, path, path, wanted, scan, visited, depth))) return false;
      // Docker makes an empty directory of a file that was to be mounted and does not exist.
      if (found === scan.located.length && wanted(entry.name)) {
        scan.located.push({ name: relative(root, path), path, atomic: false });
      }
      continue;
    }
    if (entry.isSymbolicLink()) {
      // A dangling link is as good as no file: the writer may be between two steps. One that cannot be followed is not.
      const target = await disk.realpath(path).catch((error) => (leadsNowhere(error) ? null : path));
      if (target === null) {
        if (wanted(entry.name)) scan.dangling.add(relative(root, path));
        continue;
      }
      const stats = await disk.lstat(target).catch(() => null);
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

function leadsNowhere(error: unknown): boolean {
  return isAbsence(error) || systemCode(error) === 'ELOOP';
}

async function scanSub(
  root: string,
  path: string,
  real: string,
  wanted: Wanted,
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
