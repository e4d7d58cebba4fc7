import { readFile, stat } from 'node:fs/promises';
import { resolve, sep } from 'node:path';

/**
 * Finds files that are mounted by themselves (`-v ./tls.crt:/certs/tls.crt`, Kubernetes `subPath`). Such a mount holds on to one
 * inode: a renewal by rename is never seen through it, neither by events nor by reading again.
 * @param paths directories or files to look at and below
 * @returns the mount points that are files; none where the system does not tell (other than Linux)
 */
export async function findFileMounts(paths: readonly string[]): Promise<string[]> {
  const table = await readFile('/proc/self/mountinfo', 'utf8').catch(() => '');
  const roots = paths.map((path) => resolve(path));
  const found: string[] = [];
  for (const point of parseMountPoints(table)) {
    if (!roots.some((root) => point === root || point.startsWith(`${root}${sep}`))) continue;
    const stats = await stat(point).catch(() => null);
    if (stats?.isFile()) found.push(point);
  }
  return found;
}

/** The mount points of a mount table (proc(5), `/proc/pid/mountinfo`): the fifth field, with white space in octal. */
export function parseMountPoints(table: string): string[] {
  return table
    .split('\n')
    .map((line) => line.split(' ')[4])
    .filter((point) => point !== undefined)
    .map((point) =>
      point.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8))),
    );
}
