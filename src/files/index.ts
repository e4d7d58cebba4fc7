/**
 * Files, as a certificate source needs them: told when something stirs, and read as a consistent whole.
 *
 *   FileWatchService  says that something may have changed, never what it holds
 *   ThreadedReader    reads a directory tree (or a file) as it stood at one moment, in a thread of its own
 *   examineMounts     finds what is wrong with the way the files are mounted
 */
export { type ExamineOptions, examineMounts } from './doctor/index.ts';
export { LayeredMap } from './layered-map.ts';
export { type FileContent, FileFault } from './read.ts';
export { isReadingStuck, ThreadedReader, type ThreadedRequest } from './reading-thread.ts';
export { type Snapshot, SnapshotReader, type SnapshotRequest } from './snapshot.ts';
export type {
  FileListener,
  RescanReason,
  Subscription,
  WatchMode,
  WatchOptions,
} from './watch-service.ts';
export { FileWatchService, watchModes } from './watch-service.ts';
export type { WatchTarget } from './watch-targets.ts';
