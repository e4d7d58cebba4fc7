import type { FileContent } from './read.ts';
import type { PackedFiles } from './thread-messages.ts';

/** Packs contents of files for another thread. */
export function packFiles(files: ReadonlyMap<string, FileContent>): PackedFiles {
  let size = 0;
  for (const { bytes } of files.values()) size += bytes.length;
  const all = new Uint8Array(new ArrayBuffer(size));
  const ends: number[] = [];
  let end = 0;
  const rest = [...files.values()].map(({ bytes, ...file }) => {
    all.set(bytes, end);
    end += bytes.length;
    ends.push(end);
    return file;
  });
  return { names: [...files.keys()], files: rest, bytes: all.buffer, ends };
}

/** The contents that were packed, with their names. */
export function* unpackFiles({ names, files, bytes, ends }: PackedFiles): Iterable<[string, FileContent]> {
  let start = 0;
  for (const [i, name] of names.entries()) {
    const file = files[i];
    const end = ends[i] ?? start;
    if (file) yield [name, { ...file, bytes: Buffer.from(bytes, start, end - start) }];
    start = end;
  }
}
