import type { ErrorCode } from '../errors.ts';
import type { FileContent } from './read.ts';
import type { WatchTarget } from './watch-targets.ts';

/** What the reading thread is asked. */
export interface ReadMessage {
  readonly call: number;
  /** Each reader remembers contents of its own. */
  readonly reader: number;
  readonly path: string;
  /** Lower-case extensions with their dot; null for every file. */
  readonly extensions: ReadonlySet<string> | null;
  readonly thorough: boolean;
  /** Paths of which something was heard; null: anything may have changed. */
  readonly stirred: readonly string[] | null;
  /** The snapshot that whoever asks has: what did not change since then need not travel. 0: none. */
  readonly known: number;
}

export interface FaultMessage {
  readonly code: ErrorCode;
  readonly path: string;
  readonly message: string;
}

/** Contents of files, packed: they are moved between the threads, not copied. */
export interface PackedFiles {
  readonly names: readonly string[];
  /** Without their bytes. */
  readonly files: readonly Omit<FileContent, 'bytes'>[];
  readonly bytes: ArrayBuffer;
  /** Where each ends in the bytes. */
  readonly ends: readonly number[];
}

/** A snapshot as it crosses between threads: plain data, and of its files only those that the other side does not have. */
export interface SnapshotMessage {
  readonly number: number;
  /** The snapshot that it differs from as said below; 0: from one of nothing. */
  readonly base: number;
  readonly changed: PackedFiles;
  readonly gone: readonly string[];
  readonly exists: boolean;
  readonly faults: ReadonlyMap<string, FaultMessage>;
  readonly dangling: ReadonlySet<string>;
  readonly watch: readonly WatchTarget[];
}

/** What it answers: a snapshot, or why there is none. */
export interface ReplyMessage {
  readonly call: number;
  readonly snapshot?: SnapshotMessage;
  readonly fault?: FaultMessage;
}
