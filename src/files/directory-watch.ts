import { type FSWatcher, watch } from 'node:fs';
import { lstat, readdir, stat } from 'node:fs/promises';
import { basename, join, sep } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { systemCode } from '../errors.ts';
import { identityOf } from './watch-targets.ts';

/** What a {@link DirectoryWatch} tells. */
export interface DirectoryEvents {
  /** Something happened to a name in a watched directory, or to the directory itself, whose name it is then. */
  readonly raw: (directory: string, name: string) => void;
  /** What happened, a moment later. */
  readonly typed: (kind: 'created' | 'modified' | 'deleted', path: string) => void;
  /** One of the directories does not exist, or does not any more. */
  readonly missing: (directory: string) => void;
  /** The system refuses to watch. */
  readonly failed: (error: unknown) => void;
}

interface Watched {
  readonly watcher: FSWatcher;
  readonly recursive: boolean;
  readonly identity: string;
  /** Entries that were there when it was last looked at, or heard of since. */
  readonly names: Set<string>;
}

/** Milliseconds for which a new file may be empty before it is told. */
const emptyFor = 5;

/**
 * Watches directories, and what is below them, with one watch each: the system tells the name of what changed, so a change costs the same
 * beside one file and beside ten thousand. A directory that is deleted, or becomes another one, is no longer watched.
 */
export class DirectoryWatch {
  readonly #events: DirectoryEvents;
  readonly #watched = new Map<string, Watched>();
  /** Paths that are being looked at, and whether something happened to them meanwhile. */
  readonly #looking = new Map<string, boolean>();
  /** What was told of paths that are being looked at again. */
  readonly #told = new Map<string, string>();
  #closed = false;

  constructor(events: DirectoryEvents) {
    this.#events = events;
  }

  /** Begins to watch. @param wanted directories, and whether with their sub-directories @returns once all is watched that can be */
  async start(wanted: ReadonlyMap<string, boolean>): Promise<void> {
    // Each by itself: a file system that does not answer holds up nobody else's.
    await Promise.all([...wanted].map(([directory, recursive]) => this.#root(directory, recursive)));
  }

  close(): void {
    this.#closed = true;
    for (const { watcher } of this.#watched.values()) watcher.close();
    this.#watched.clear();
  }

  async #root(directory: string, recursive: boolean): Promise<void> {
    if (!(await this.#watch(directory, recursive)) && !this.#closed) this.#events.missing(directory);
  }

  /**
   * Watches a directory and, if so wanted, those below it.
   * @param found called with each entry
   * @returns false when there is no such directory
   */
  async #watch(directory: string, recursive: boolean, found?: (path: string) => void): Promise<boolean> {
    // Before it is watched: what happens to it after this moment is heard of, or shows in its identity.
    const stats = await stat(directory, { bigint: true }).catch(() => null);
    if (this.#closed || (this.#watched.has(directory) && !recursive)) return true;
    if (!stats?.isDirectory()) return false;
    const identity = identityOf(stats);
    if (!this.#open(directory, recursive, identity)) return true;
    const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
    const names = this.#watched.get(directory)?.names;
    for (const entry of entries) {
      names?.add(entry.name);
      const path = join(directory, entry.name);
      if (entry.isDirectory() && recursive && !entry.name.startsWith('.')) await this.#watch(path, true, found);
      found?.(path);
    }
    return true;
  }

  /** @returns whether it is watched */
  #open(directory: string, recursive: boolean, identity: string): boolean {
    this.#watched.get(directory)?.watcher.close();
    this.#watched.delete(directory);
    let watcher: FSWatcher;
    try {
      watcher = watch(directory, { persistent: false });
    } catch (error) {
      const code = systemCode(error);
      // One that others may not read is looked at with the rest.
      if (code !== 'ENOENT' && code !== 'ENOTDIR' && code !== 'EACCES' && code !== 'EPERM') this.#fail(error);
      return false;
    }
    watcher.on('change', (_, name) => this.#heard(directory, watcher, String(name ?? '')));
    watcher.on('error', (error) => this.#fail(error));
    this.#watched.set(directory, { watcher, recursive, identity, names: new Set() });
    return true;
  }

  #fail(error: unknown): void {
    if (!this.#closed) this.#events.failed(error);
  }

  #heard(directory: string, watcher: FSWatcher, name: string): void {
    if (this.#watched.get(directory)?.watcher !== watcher) return;
    this.#events.raw(directory, name);
    if (name === basename(directory)) this.#look(directory, () => this.#lookAtItself(directory, watcher));
    const path = `${directory}${sep}${name}`;
    if (name !== '') this.#look(path, (again) => this.#lookAt(directory, name, path, again));
  }

  /** One look at a time at each path; what happens meanwhile causes one more. @param look told whether it is that */
  #look(path: string, look: (again: boolean) => Promise<void>): void {
    if (this.#looking.has(path)) {
      this.#looking.set(path, true);
      return;
    }
    const run = async () => {
      for (let again = false; !this.#closed; again = true) {
        this.#looking.set(path, false);
        await look(again);
        if (!this.#looking.get(path)) break;
      }
      this.#looking.delete(path);
      this.#told.delete(path);
    };
    void run();
  }

  async #lookAt(directory: string, name: string, path: string, again: boolean): Promise<void> {
    let stats = await lstat(path, { bigint: true }).catch(() => null);
    if (stats?.isFile() && stats.size === 0n && !this.#watched.get(directory)?.names.has(name)) {
      // Made, and about to be written to: that is one change.
      await delay(emptyFor, null, { ref: false });
      stats = await lstat(path, { bigint: true }).catch(() => null);
    }
    const above = this.#watched.get(directory);
    if (this.#closed || !above) return;
    const known = above.names.has(name);
    if (!stats) {
      above.names.delete(name);
      this.#forget(path);
      if (known) this.#events.typed('deleted', path);
      return;
    }
    above.names.add(name);
    if (stats.isDirectory()) {
      await this.#lookAtDirectory(path, above.recursive && !name.startsWith('.'), identityOf(stats), known);
      return;
    }
    this.#forget(path);
    const state = `${stats.ino} ${stats.size} ${stats.mtimeNs} ${stats.ctimeNs}`;
    // The events of one write come together: when the first is looked into, all of it is there.
    const isTold = again && this.#told.get(path) === state;
    if (!isTold) this.#events.typed(known ? 'modified' : 'created', path);
    this.#told.set(path, state);
  }

  async #lookAtDirectory(path: string, recursive: boolean, identity: string, known: boolean): Promise<void> {
    if (recursive && this.#watched.get(path)?.identity !== identity) {
      this.#forget(path);
      const found: string[] = [];
      await this.#watch(path, true, (one) => found.push(one));
      if (this.#closed) return;
      this.#events.typed('created', path);
      for (const one of found) this.#events.typed('created', one);
    } else if (!known) this.#events.typed('created', path);
  }

  /** It may be gone, or have become another one. */
  async #lookAtItself(directory: string, watcher: FSWatcher): Promise<void> {
    const stats = await stat(directory, { bigint: true }).catch(() => null);
    const watched = this.#watched.get(directory);
    if (this.#closed || watched?.watcher !== watcher) return;
    if (stats?.isDirectory()) return;
    this.#forget(directory);
    this.#events.typed('deleted', directory);
    this.#events.missing(directory);
  }

  /** Ends the watch of a directory, and of all below it. */
  #forget(directory: string): void {
    if (!this.#watched.has(directory)) return;
    for (const [path, { watcher }] of this.#watched) {
      if (path !== directory && !path.startsWith(`${directory}${sep}`)) continue;
      watcher.close();
      this.#watched.delete(path);
    }
  }
}
