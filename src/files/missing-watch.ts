import { type FSWatcher, watch } from 'chokidar';

/** What a {@link MissingWatch} tells. */
export interface MissingEvents {
  readonly raw: (directory: string, name: string) => void;
  /** A directory is there now. */
  readonly appeared: (directory: string) => void;
  readonly failed: (error: unknown) => void;
}

/**
 * Waits for directories that do not exist: by way of the next directory above that does, whatever comes and goes in between. That is what
 * chokidar is good at.
 */
export class MissingWatch {
  readonly #events: MissingEvents;
  readonly #awaited = new Set<string>();
  #watcher: FSWatcher | null = null;
  #closed = false;

  constructor(events: MissingEvents) {
    this.#events = events;
  }

  /** @param directory absolute */
  async await(directory: string): Promise<void> {
    if (this.#awaited.has(directory) || this.#closed) return;
    this.#awaited.add(directory);
    const watcher = this.#watcher ?? this.#start();
    const ready = this.#watcher ? null : new Promise<void>((resolve) => watcher.once('ready', resolve));
    this.#watcher = watcher;
    watcher.add(directory);
    await ready;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#watcher?.close();
    this.#watcher = null;
  }

  #start(): FSWatcher {
    const watcher = watch([], {
      atomic: false,
      followSymlinks: false,
      ignorePermissionErrors: true,
      persistent: false,
      // Of what stands beside the way nothing needs to be known.
      ignored: (path) => !this.#awaited.has(path) && ![...this.#awaited].some((one) => one.startsWith(`${path}/`)),
    });
    watcher.on('error', (error) => this.#events.failed(error));
    watcher.on('raw', (_event, name, details) => {
      const watched = (details as { watchedPath?: unknown } | undefined)?.watchedPath;
      this.#events.raw(typeof watched === 'string' ? watched : '', name === null ? '' : String(name));
    });
    // Also when it was there already by the time it was looked for.
    watcher.on('addDir', (path) => {
      if (this.#awaited.has(path)) this.#events.appeared(path);
    });
    return watcher;
  }
}
