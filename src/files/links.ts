import { dirname, isAbsolute, join, parse, resolve, sep } from 'node:path';
import { disk } from './disk.ts';

/** As the kernel's limit (ELOOP). */
const hopLimit = 40;

/**
 * The directories in which the links on the way to a path stand, and the one it ends in: a change of any of these entries
 * changes what the path leads to. Names of Kubernetes' atomic writer (`..data`, `..2026_…`) are not followed further: what
 * stands below them never changes.
 * @returns absolute directories, each once; empty when no part of the path is a link
 */
export async function linkDirectories(path: string): Promise<string[]> {
  const found = new Set<string>();
  let rest = resolve(path)
    .slice(parse(resolve(path)).root.length)
    .split(sep);
  let at = parse(resolve(path)).root;
  for (let hops = 0; rest.length > 0 && hops < hopLimit; ) {
    const [name = '', ...others] = rest;
    rest = others;
    const next = join(at, name);
    const target = await disk.readlink(next).catch(() => null);
    if (target === null) {
      at = next;
      continue;
    }
    hops += 1;
    found.add(at);
    if (name.startsWith('..')) break;
    const absolute = isAbsolute(target) ? target : resolve(at, target);
    // Components are walked again from the root: each of them may be a link itself.
    const { root } = parse(absolute);
    rest = [...absolute.slice(root.length).split(sep), ...rest].filter((part) => part !== '');
    at = root;
    if (rest.length === 0) break;
  }
  if (found.size > 0 && rest.length === 0) found.add(dirname(at));
  return [...found];
}
