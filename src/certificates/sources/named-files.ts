import { dirname } from 'node:path';
import { type ErrorCode, type Finding, finding } from '../../errors.ts';
import { type FileContent, ThreadedReader, type WatchTarget } from '../../files/index.ts';

/** What files named one by one hold now. */
export interface NamedContents {
  /** By path; those that cannot be used are missing. */
  readonly contents: ReadonlyMap<string, FileContent>;
  /** What is wrong with the others, as findings of the identity, if there is one. */
  readonly findings: readonly Finding[];
  readonly watch: readonly WatchTarget[];
}

/** Files that are each named by their own path, possibly in different directories. */
export class NamedFiles {
  readonly #readers: ReadonlyMap<string, ThreadedReader>;

  /** @param paths absolute */
  constructor(paths: Iterable<string>) {
    this.#readers = new Map([...paths].map((path) => [path, new ThreadedReader()]));
  }

  /** What to watch before anything was read. */
  get watch(): WatchTarget[] {
    return [...new Set([...this.#readers.keys()].map(dirname))].map((directory) => ({ directory, recursive: false }));
  }

  /**
   * Reads them all.
   * @param thorough do not rely on time stamps
   * @param identity whom the findings are about; the source as a whole when left out
   * @throws FileFault when a directory cannot be read
   */
  async read(thorough: boolean, identity?: string): Promise<NamedContents> {
    const findings: Finding[] = [];
    const watch = this.watch;
    const contents = new Map<string, FileContent>();
    for (const [path, reader] of this.#readers) {
      const snapshot = await reader.read({ path, extensions: null, thorough });
      for (const target of snapshot.watch) {
        if (!watch.some((known) => known.directory === target.directory)) watch.push({ ...target, recursive: false });
      }
      // A directory gives what is below it: none of that was named.
      const content = [...snapshot.files.values()].find((file) => file.path === path);
      const fault = [...snapshot.faults.values()].find((one) => one.path === path);
      const found = (code: ErrorCode, message: string) =>
        findings.push(finding(code, 'error', { message, file: path, ...(identity === undefined ? {} : { identity }) }));
      if (content) contents.set(path, content);
      else if (fault) found(fault.code, fault.message);
      else if (snapshot.exists) found('FILE_NOT_REGULAR', `${path} is a directory`);
      else found('SOURCE_MISSING', `${path} does not exist`);
    }
    return { contents, findings, watch };
  }
}
