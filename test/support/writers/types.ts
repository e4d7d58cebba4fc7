import type { TestContext } from 'node:test';

/** What the files of a directory are to hold, by name, in the order in which a writer goes through them. */
export type Files = Readonly<Record<string, string | Buffer>>;

/** Brings the files of a directory to a new content; the first call makes them. Resolves after the last change. */
export type Write = (files: Files, options?: WriteOptions) => Promise<void>;

export interface WriteOptions {
  /** Called when the first file is new and the others are still old, by writers that pass through that state. */
  readonly halfway?: () => Promise<void>;
}

export type Scope = Pick<TestContext, 'after'>;

/** A way in which files come to change in real life. */
export interface Writer {
  readonly name: string;
  /** It needs two files at least. */
  readonly apart?: boolean;
  /** @param directory where the files are to be; its parent exists, and holds nothing else */
  open(t: Scope, directory: string): Promise<Write>;
}
