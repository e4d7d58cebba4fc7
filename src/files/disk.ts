import fs from 'node:fs';

/** An open file. */
export interface Opened {
  stat(): Promise<fs.BigIntStats>;
  /** Reads at a position. @returns the number of bytes, 0 at the end */
  read(buffer: Buffer, position: number): Promise<number>;
  close(): Promise<void>;
}

/**
 * The system calls of the reading thread: synchronous, in the form of promises. Each asynchronous one would be two switches
 * between threads, and beside a busy proxy it is those that a rotation waits for (0.5 ms idle, 5 to 20 ms under load). A call that
 * never returns holds up its thread and nothing else: see ReadingThread. An object, so that a test can step in between.
 */
export const disk = {
  realpath: async (path: string) => fs.realpathSync(path),
  readlink: async (path: string) => fs.readlinkSync(path),
  lstat: async (path: string) => fs.lstatSync(path),
  stat: async (path: string) => fs.statSync(path, { bigint: true }),
  readdir: async (path: string) => fs.readdirSync(path, { withFileTypes: true }),
  open: async (path: string, flags: number): Promise<Opened> => {
    const file = fs.openSync(path, flags);
    return {
      stat: async () => fs.fstatSync(file, { bigint: true }),
      read: async (buffer, position) => fs.readSync(file, buffer, 0, buffer.length, position),
      close: async () => fs.closeSync(file),
    };
  },
};
