import { join, sep } from 'node:path';

/** One mount (proc(5), `/proc/pid/mountinfo`). */
export interface Mount {
  readonly id: number;
  /** The id of the mount it stands in. */
  readonly parent: number;
  /** What of its file system is mounted: `/` for all of it; a file or a directory for a bind mount. */
  readonly root: string;
  /** Where it is mounted. */
  readonly point: string;
  /** Of the file system: `ext4`, `fuse.sshfs`. */
  readonly type: string;
}

/** The marker that the kernel adds to the root of a mount whose file or directory was removed or replaced since. */
const deletedMarker = '//deleted';

/** The mounts of a process, and which of them a path is on. */
export class MountTable {
  readonly mounts: readonly Mount[];
  readonly #children = new Map<string, Mount>();
  readonly #first: Mount | undefined;

  /** @param text the content of `/proc/self/mountinfo`; lines that are no mounts are passed over */
  constructor(text: string) {
    this.mounts = text.split('\n').flatMap((line) => parseMount(line) ?? []);
    const ids = new Set(this.mounts.map(({ id }) => id));
    this.#first = this.mounts.find(({ point, parent, id }) => point === sep && (parent === id || !ids.has(parent)));
    for (const mount of this.mounts)
      if (mount.parent !== mount.id) this.#children.set(keyOf(mount.parent, mount), mount);
  }

  /**
   * The mount that shows at a path, found as the kernel does: from the root down, so that a mount hidden under a later one does
   * not count.
   * @param path absolute and without links
   * @returns undefined when the table does not tell
   */
  holderOf(path: string): Mount | undefined {
    if (!this.#first) return this.#longestMatch(path);
    let current = this.#topmostAt(this.#first, sep);
    let point: string = sep;
    for (const name of path.split(sep)) {
      if (name === '') continue;
      point = join(point, name);
      current = this.#topmostAt(current, point);
    }
    return current;
  }

  /** The mounts that show at a path or below it. */
  visibleBelow(path: string): Mount[] {
    return this.mounts.filter(({ id, point }) => isWithin(point, path) && this.holderOf(point)?.id === id);
  }

  #topmostAt(mount: Mount, point: string): Mount {
    let current = mount;
    for (;;) {
      const next = this.#children.get(keyOf(current.id, { point }));
      if (!next) return current;
      current = next;
    }
  }

  /** In a changed root (chroot) the table begins nowhere. */
  #longestMatch(path: string): Mount | undefined {
    let best: Mount | undefined;
    for (const mount of this.mounts) {
      if (isWithin(path, mount.point) && mount.point.length >= (best?.point.length ?? 0)) best = mount;
    }
    return best;
  }
}

/** Whether a path is another one or below it. Both absolute. */
export function isWithin(path: string, directory: string): boolean {
  return path === directory || path.startsWith(directory.endsWith(sep) ? directory : `${directory}${sep}`);
}

/** Whether what is mounted was removed or replaced where it came from: the mount shows the old one for ever. */
export function isOrphaned({ root }: Mount): boolean {
  return root.endsWith(deletedMarker);
}

/**
 * Whether the file of a mount comes from a volume of Kubernetes, so that the mount is one with `subPath`. A bind mount shows the
 * path within the file system that it comes from: below kubelet's directory of the pod, or, for a Secret or ConfigMap (a tmpfs of
 * its own), below the time-stamped directory of its atomic writer.
 */
export function isSubPath({ root }: Mount): boolean {
  return /\/volume-subpaths\/|\/kubernetes\.io~|^(?:\/.*)?\/\.\.\d{4}_\d\d_\d\d_\d\d_\d\d_\d\d\.\d+\//.test(root);
}

function keyOf(parent: number, { point }: Pick<Mount, 'point'>): string {
  return `${parent} ${point}`;
}

/** `36 35 98:0 /root /point options [optional fields] - type source options`, with white space as `\040`. */
function parseMount(line: string): Mount | null {
  const fields = line.split(' ');
  const [id, parent, , root, point] = fields;
  const dash = fields.indexOf('-', 6);
  const type = dash === -1 ? undefined : fields[dash + 1];
  if (root === undefined || point === undefined || !type) return null;
  const ids = [Number(id), Number(parent)] as const;
  if (!ids.every(Number.isInteger) || !point.startsWith(sep)) return null;
  return { id: ids[0], parent: ids[1], root: unescaped(root), point: unescaped(point), type: unescaped(type) };
}

function unescaped(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
