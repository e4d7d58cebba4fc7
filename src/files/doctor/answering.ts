import { spawn } from 'node:child_process';
import { mayNotAnswer } from './file-systems.ts';
import type { Mount, MountTable } from './mount-table.ts';

/** Asks the file system itself: what stat(2) tells may come from a cache. */
const question = "try { require('node:fs').statfsSync(process.argv[1]) } catch {}";

/**
 * Tells which mounts can be touched. A call on a file system whose daemon or server is gone never returns, and a process with such
 * a thread cannot even end; so what may hang is asked first by another process, which can be left behind.
 */
export class Answering {
  readonly #table: MountTable;
  readonly #timeLimit: number;
  readonly #known = new Map<number, Promise<boolean>>();

  /** @param timeLimit milliseconds after which a mount counts as one that does not answer */
  constructor(table: MountTable, timeLimit: number) {
    this.#table = table;
    this.#timeLimit = timeLimit;
  }

  /** Whether a path can be touched. @param path absolute and without links */
  async at(path: string): Promise<boolean> {
    const mount = this.#table.holderOf(path);
    return mount === undefined || this.of(mount);
  }

  /** Whether a mount answers. Each is asked once. */
  async of(mount: Mount): Promise<boolean> {
    if (!mayNotAnswer(mount)) return true;
    const known = this.#known.get(mount.id) ?? ask(mount.point, this.#timeLimit);
    this.#known.set(mount.id, known);
    return known;
  }
}

function ask(point: string, timeLimit: number): Promise<boolean> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ['--eval', question, point], { stdio: 'ignore', env: {}, cwd: '/' });
    const timer = setTimeout(() => {
      resolve(false);
      // It may be beyond any signal; then it is left where it is.
      child.kill('SIGKILL');
      child.unref();
    }, timeLimit);
    const done = (answered: boolean) => {
      clearTimeout(timer);
      resolve(answered);
    };
    child.once('error', () => done(false));
    child.once('exit', (code) => done(code === 0));
  });
}
