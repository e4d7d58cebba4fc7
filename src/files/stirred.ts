import { basename, dirname, join, relative } from 'node:path';
import { disk } from './disk.ts';
import { isAbsence } from './read.ts';
import type { Located, Scan, Wanted } from './scan.ts';

/** What there is now under names of which something was heard. */
export interface StirredFiles {
  readonly present: readonly Located[];
  /** Names, as in a snapshot, of what is gone. */
  readonly absent: readonly string[];
  /** Whether the same was found. */
  sameAs(other: StirredFiles): boolean;
}

interface Where {
  readonly path: string;
  readonly wanted: Wanted;
}

/**
 * Looks at paths of which something was heard, in directories that were listed before.
 * @param scan of the last look at everything
 * @returns null when one of them is, or may be, more than a file: a directory, a link, something of Kubernetes' atomic writer
 */
export async function stirredFiles(
  scan: Scan,
  { path: source, wanted }: Where,
  stirred: readonly string[],
): Promise<StirredFiles | null> {
  const present = new Map<string, Located>();
  const absent = new Set<string>();
  for (const heard of stirred) {
    const name = basename(heard);
    const above = dirname(heard);
    const directory = above === source ? scan.root : above;
    const path = join(directory, name);
    // What bears the name of the directory is about the directory itself.
    const isDirectory = scan.listed.has(path) || name === basename(directory);
    if (isDirectory || !scan.listed.has(directory) || name.startsWith('..')) return null;
    if (name.startsWith('.')) continue;
    const stats = await disk.lstat(path).catch((error: unknown) => (isAbsence(error) ? null : undefined));
    if (stats === undefined || (stats && !stats.isFile())) return null;
    const key = relative(scan.root, path);
    if (scan.dangling.has(key)) return null;
    if (!wanted(name)) continue;
    if (stats) present.set(key, { name: key, path, atomic: false });
    else absent.add(key);
  }
  const found = [...present.keys(), '/', ...absent].join('\n');
  const sameAs = (other: StirredFiles) =>
    [...other.present.map((one) => one.name), '/', ...other.absent].join('\n') === found;
  return { present: [...present.values()], absent: [...absent], sameAs };
}
