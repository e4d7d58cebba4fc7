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
    if (stats) found.set(directory, identityOf(stats));
  }
  return found;
}

/** What tells a directory from another one of the same name. The inode of one that was removed is soon given to another one. */
export function identityOf({ dev, ino, birthtimeNs }: { dev: bigint; ino: bigint; birthtimeNs: bigint }): string {
  return `${dev}:${ino}:${birthtimeNs}`;
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
