import { hash } from 'node:crypto';
import { constants } from 'node:fs';
import { type ErrorCode, systemCode } from '../errors.ts';
import { disk, type Opened } from './disk.ts';

/** No certificate, key or bundle of a sane operator is larger. */
export const fileSizeLimit = 1024 * 1024;

/** What tells one content of a file from the next without reading it. */
export interface FileIdentity {
  readonly device: bigint;
  readonly inode: bigint;
  readonly size: bigint;
  readonly modifiedNs: bigint;
  readonly changedNs: bigint;
}

/** A file as it was read. */
export interface FileContent {
  readonly path: string;
  readonly bytes: Buffer;
  /** SHA-256 of the bytes, hex. */
  readonly digest: string;
  readonly identity: FileIdentity;
}

/** Why a file cannot be used: a code of the catalogue, and the file. */
export class FileFault extends Error {
  readonly code: ErrorCode;
  readonly path: string;

  constructor(code: ErrorCode, path: string, message: string) {
    super(message);
    this.code = code;
    this.path = path;
  }
}

interface BigStats {
  dev: bigint;
  ino: bigint;
  size: bigint;
  mtimeNs: bigint;
  ctimeNs: bigint;
}

export function identityOf(stats: BigStats): FileIdentity {
  return {
    device: stats.dev,
    inode: stats.ino,
    size: stats.size,
    modifiedNs: stats.mtimeNs,
    changedNs: stats.ctimeNs,
  };
}

export function sameIdentity(a: FileIdentity, b: FileIdentity): boolean {
  return (
    a.inode === b.inode &&
    a.device === b.device &&
    a.size === b.size &&
    a.modifiedNs === b.modifiedNs &&
    a.changedNs === b.changedNs
  );
}

/** The identity of what a path leads to now; null when there is nothing. */
export async function identityAt(path: string): Promise<FileIdentity | null> {
  try {
    return identityOf(await disk.stat(path));
  } catch (error) {
    if (isAbsence(error)) return null;
    throw toFault(error, path);
  }
}

/** Whether an error says that there is nothing at a path. */
export function isAbsence(error: unknown): boolean {
  const code = systemCode(error);
  return code === 'ENOENT' || code === 'ENOTDIR';
}

function toFault(error: unknown, path: string): unknown {
  if (error instanceof FileFault || isAbsence(error)) return error;
  const code = systemCode(error);
  return new FileFault('FILE_UNREADABLE', path, `${path} cannot be read (${code ?? 'unknown error'})`);
}

/**
 * Reads a whole regular file. Never blocks on a pipe, never reads more than {@link fileSizeLimit}.
 * @returns null when there is no such file
 * @throws FileFault (FILE_UNREADABLE, FILE_NOT_REGULAR, FILE_TOO_LARGE)
 */
export async function readContent(path: string): Promise<FileContent | null> {
  let file: Opened | undefined;
  try {
    file = await disk.open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const stats = await file.stat();
    if (!stats.isFile()) {
      const what = stats.isDirectory() ? 'a directory' : 'not a regular file';
      throw new FileFault('FILE_NOT_REGULAR', path, `${path} is ${what}`);
    }
    if (stats.size > BigInt(fileSizeLimit)) {
      throw new FileFault('FILE_TOO_LARGE', path, `${path} has ${stats.size} bytes`);
    }
    const bytes = await readToEnd(file, Number(stats.size));
    if (bytes.length > fileSizeLimit) throw new FileFault('FILE_TOO_LARGE', path, `${path} is growing`);
    // The identity after reading: written meanwhile, the file shows a fresh mtime and has to settle.
    return { path, bytes, digest: hash('sha256', bytes), identity: identityOf(await file.stat()) };
  } catch (error) {
    if (isAbsence(error)) return null;
    throw toFault(error, path);
  } finally {
    await file?.close();
  }
}

/** @param size what the file should have; there may be more by now, of which no more is read than shows that it is too much */
async function readToEnd(file: Opened, size: number): Promise<Buffer> {
  let bytes = Buffer.allocUnsafe(size + 1);
  let total = 0;
  for (;;) {
    const room = bytes.length - total;
    const bytesRead = await file.read(bytes.subarray(total), total);
    total += bytesRead;
    if (bytesRead === 0 || total > fileSizeLimit || (total === size && bytesRead < room)) break;
    if (total === bytes.length) bytes = Buffer.concat([bytes], Math.min(2 * total + 16 * 1024, fileSizeLimit + 1));
  }
  return bytes.subarray(0, total);
}
