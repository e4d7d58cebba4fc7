import { stat } from 'node:fs/promises';
import { sep } from 'node:path';

/** A directory to watch; with its sub-directories (hidden ones apart) when recursive. It need not exist yet. */
export interface WatchTarget {
  readonly directory: string;
  readonly recursive: boolean;
}

/** What tells each directory from another one of the same name; nothing for those that do not exist. */
export async function identitiesOf(directories: Iterable<string>): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const directory of directories) {
    const stats = await stat(directory, { bigint: true }).catch(() => null);
    // The time of birth as well: the inode of a directory that was removed is soon given to another one.
    if (stats) found.set(directory, `${stats.dev}:${stats.ino}:${stats.birthtimeNs}`);
  }
  return found;
}

/** Whether a directory is one of the targets or below a recursive one, without a hidden one in between. */
export function isWanted(path: string, wanted: ReadonlyMap<string, boolean>): boolean {
  if (wanted.has(path)) return true;
  for (const [directory, recursive] of wanted) {
    if (directory.startsWith(`${path}${sep}`)) return true;
    if (!recursive || !path.startsWith(`${directory}${sep}`)) continue;
    const parts = path.slice(directory.length + 1).split(sep);
    if (parts.every((part) => !part.startsWith('.'))) return true;
  }
  return false;
}

/** Whether something that happened to `name` in `directory` is the business of whoever watches these targets. */
export function concerns(targets: readonly WatchTarget[], directory: string, name: string): boolean {
  return targets.some(
    (target) =>
      target.directory === directory ||
      target.directory === `${directory}${sep}${name}` ||
      (target.recursive && directory.startsWith(`${target.directory}${sep}`)),
  );
}

export function sameTargets(a: readonly WatchTarget[], b: readonly WatchTarget[]): boolean {
  return (
    a.length === b.length &&
    a.every((target, i) => target.directory === b[i]?.directory && target.recursive === b[i]?.recursive)
  );
}

export function sameMap(a: ReadonlyMap<string, boolean>, b: ReadonlyMap<string, boolean>): boolean {
  if (a.size !== b.size) return false;
  for (const [key, value] of a) if (b.get(key) !== value) return false;
  return true;
}
