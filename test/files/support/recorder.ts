import type { FileListener } from '../../../src/files/index.ts';

type Kind = keyof FileListener;

export interface Heard {
  readonly kind: Kind;
  /** The path, or the reason of a rescan. */
  readonly about: string;
}

/** A listener that writes down what it hears, and can be waited for. */
export class Recorder {
  readonly heard: Heard[] = [];
  readonly #waiting = new Set<() => void>();

  readonly listener: Required<FileListener> = {
    stirred: (path) => this.#note('stirred', path),
    created: (path) => this.#note('created', path),
    modified: (path) => this.#note('modified', path),
    deleted: (path) => this.#note('deleted', path),
    rescan: (reason) => this.#note('rescan', reason),
  };

  /** What was heard about paths, as `kind path`. */
  get changes(): string[] {
    return this.heard.filter(({ kind }) => kind !== 'rescan').map(({ kind, about }) => `${kind} ${about}`);
  }

  /** Resolves when something was heard, now or earlier, at least so many times. */
  async until(kind: Kind, about: string, times = 1): Promise<void> {
    while (this.count(kind, about) < times) await this.next();
  }

  /** Resolves when the next thing is heard, whatever it is. */
  next(): Promise<void> {
    return new Promise((resolve) => this.#waiting.add(resolve));
  }

  count(kind: Kind, about: string): number {
    return this.heard.filter((one) => one.kind === kind && one.about === about).length;
  }

  clear(): void {
    this.heard.length = 0;
  }

  #note(kind: Kind, about: string): void {
    this.heard.push({ kind, about });
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }
}
