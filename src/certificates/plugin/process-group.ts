import type { ChildProcess } from 'node:child_process';

const groups = new Set<ProcessGroup>();

function endAll(): void {
  for (const group of groups) group.end();
}

/** A process that leads a group of its own (`detached`), with all that it started. It ends with this process, if not before. */
export class ProcessGroup {
  readonly #leader: ChildProcess;
  #over = false;

  constructor(leader: ChildProcess) {
    this.#leader = leader;
    if (groups.size === 0) process.on('exit', endAll);
    groups.add(this);
    leader.once('exit', () => this.#left());
    // It could not be started.
    leader.once('error', () => this.#left());
  }

  /** Ends each of its processes now: SIGKILL. */
  end(): void {
    const { pid } = this.#leader;
    if (this.#over || pid === undefined) return;
    try {
      process.kill(-pid, 'SIGKILL');
    } catch {
      // ESRCH: there is none any more.
    }
  }

  #left(): void {
    this.end();
    // From here on the id may be that of another process.
    this.#over = true;
    groups.delete(this);
    if (groups.size === 0) process.off('exit', endAll);
  }
}
