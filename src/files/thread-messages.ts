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
}

export interface FaultMessage {
  readonly code: ErrorCode;
  readonly path: string;
  readonly message: string;
}

/** A snapshot as it crosses between threads: plain data. */
export interface SnapshotMessage {
  readonly exists: boolean;
  readonly files: ReadonlyMap<string, FileContent>;
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
