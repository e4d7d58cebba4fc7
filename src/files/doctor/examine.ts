import { readFile, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Finding } from '../../errors.ts';
import { within } from '../../pace.ts';
import { Answering } from './answering.ts';
import type { DatedCertificate, MountFact, Place } from './facts.ts';
import { Follower } from './follow.ts';
import { judgeKeys } from './judge-keys.ts';
import { judgeDangling, judgeLeaving } from './judge-links.ts';
import { judgeEvents, judgeFileMounts } from './judge-mounts.ts';
import { judgeClock, judgeLimits } from './judge-system.ts';
import { type Mount, MountTable } from './mount-table.ts';
import { inotifyLimits } from './system.ts';
import { Tree } from './tree.ts';

export interface ExamineOptions {
  /** Whether changes are heard of by events; what is wrong with those does not matter otherwise. */
  readonly watching: boolean;
  /** Certificates and from when on they are valid, milliseconds since 1970. */
  readonly certificates?: readonly { readonly file: string; readonly notBefore: number }[];
  /** Milliseconds since 1970. */
  readonly now?: number;
  /** Milliseconds after which what was found so far is judged. */
  readonly timeLimit?: number;
  /** Milliseconds that a file system behind a daemon or a server is given to answer. */
  readonly answerLimit?: number;
  /** Entries of directories that are looked at. */
  readonly entryLimit?: number;
}

/**
 * Finds what is wrong with the way certificates are mounted: MOUNT_SINGLE_FILE, MOUNT_WITHOUT_EVENTS, LINK_DANGLING,
 * LINK_LEAVES_MOUNT, KEY_EXPOSED, INOTIFY_LIMIT, CLOCK_SKEW, all of them warnings. Only looks, never throws, and comes back in
 * time whatever the file systems do: one that does not answer is left alone. Mounts are known on Linux only.
 * @param paths the configured files and directories
 */
export async function examineMounts(paths: readonly string[], options: ExamineOptions): Promise<Finding[]> {
  const {
    watching,
    certificates = [],
    now = Date.now(),
    timeLimit = 2_000,
    answerLimit = 1_500,
    entryLimit = 20_000,
  } = options;
  const table = new MountTable(await readFile('/proc/self/mountinfo', 'utf8').catch(() => ''));
  const answering = new Answering(table, answerLimit);
  const tree = new Tree(answering, entryLimit);
  const mounts: MountFact[] = [];
  const dated: DatedCertificate[] = [];
  const look = async () => {
    await gatherDates(certificates, answering, dated);
    const places: Place[] = [];
    for (const path of new Set(paths)) places.push(await tree.enter(path));
    await gatherMounts(places, table, answering, mounts);
    // In order: what one path leads to is not looked at again for another.
    for (const place of places) await tree.look(place);
  };
  await within(timeLimit, look()).catch(() => {});
  tree.stop();
  return [
    ...judgeFileMounts(mounts),
    ...(watching ? judgeEvents(mounts) : []),
    ...judgeDangling(tree.links),
    ...judgeLeaving(tree.links, table),
    ...judgeKeys(tree.exposedKeys),
    ...(watching ? judgeLimits(await inotifyLimits(), tree.directories.size) : []),
    ...judgeClock(dated, now),
  ];
}

/** Finds the mounts that hold a place, or stand at or below it. */
async function gatherMounts(
  places: readonly Place[],
  table: MountTable,
  answering: Answering,
  found: MountFact[],
): Promise<void> {
  const held = new Map<Mount, string | null>();
  for (const { path, real } of places) {
    const holder = table.holderOf(real);
    if (holder) held.set(holder, held.get(holder) ?? path);
    for (const mount of [path, real].flatMap((one) => table.visibleBelow(one))) {
      if (!held.has(mount)) held.set(mount, null);
    }
  }
  // At once: those that do not answer are waited for together.
  const facts = [...held].map(async ([mount, path]): Promise<MountFact> => {
    const answers = await answering.of(mount);
    const stats = answers ? await stat(mount.point).catch(() => null) : null;
    const kind = stats?.isFile() ? 'file' : stats?.isDirectory() ? 'directory' : 'unknown';
    return { mount, path, kind, answers };
  });
  found.push(...(await Promise.all(facts)));
}

async function gatherDates(
  certificates: readonly { readonly file: string; readonly notBefore: number }[],
  answering: Answering,
  found: DatedCertificate[],
): Promise<void> {
  const follower = new Follower(answering);
  for (const { file, notBefore } of certificates) {
    const { end, real } = await follower.follow(resolve(file));
    const stats = end === 'found' ? await stat(real).catch(() => null) : null;
    if (stats) found.push({ file, notBefore, modified: stats.mtimeMs });
  }
}
