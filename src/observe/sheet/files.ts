import { randomUUID } from 'node:crypto';
import { closeSync, constants, openSync, unlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SheetDescriptors } from './layout.ts';
import { SheetReader } from './reader.ts';

/** The two files of a worker, as its primary holds them. */
export interface SheetFiles extends SheetDescriptors {
  readonly reader: SheetReader;
  /** Closes both here; what a worker inherited stays open there. May be called again. */
  close(): void;
}

/**
 * Makes the two files that a worker counts in: without a name as soon as they are made, for this user only, to be inherited by the worker.
 * @param places directories to try, in this order
 * @returns null when none can be written to; the worker then has to send copies (`Sheet.read()`, `CopyReader`)
 */
export function openSheetFiles(places: readonly string[] = ['/dev/shm', tmpdir()]): SheetFiles | null {
  for (const place of places) {
    const counts = openNameless(place);
    if (counts === null) continue;
    const series = openNameless(place);
    if (series === null) closeSync(counts);
    else return held({ counts, series });
  }
  return null;
}

function openNameless(place: string): number | null {
  const path = join(place, `swivel-${randomUUID()}`);
  let file: number | null = null;
  try {
    file = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600);
    unlinkSync(path);
    return file;
  } catch {
    if (file !== null) closeSync(file);
    return null;
  }
}

function held({ counts, series }: SheetDescriptors): SheetFiles {
  let open = true;
  const close = () => {
    if (open) for (const file of [counts, series]) closeSync(file);
    open = false;
  };
  return { counts, series, reader: new SheetReader({ counts, series }), close };
}
