import { type Finding, finding } from '../../errors.ts';
import type { MountFact } from './facts.ts';
import { isWithoutEvents } from './file-systems.ts';
import { isOrphaned, isSubPath, type Mount } from './mount-table.ts';

/** MOUNT_SINGLE_FILE for every mount that is a file. Pure. */
export function judgeFileMounts(facts: readonly MountFact[]): Finding[] {
  return facts
    .filter(({ kind }) => kind === 'file')
    .map(({ mount }) => {
      const { point: file } = mount;
      const how = isSubPath(mount) ? 'is a Kubernetes volume mounted with subPath' : 'is mounted by itself';
      const stale = isOrphaned(mount) ? ', and what it shows has been replaced or removed since' : '';
      return finding('MOUNT_SINGLE_FILE', 'warning', { file, message: `${file} ${how}${stale}` });
    });
}

/** MOUNT_WITHOUT_EVENTS for every mount whose file system does not tell of all changes. Pure. */
export function judgeEvents(facts: readonly MountFact[]): Finding[] {
  const told = new Set<number>();
  const findings: Finding[] = [];
  for (const { mount, path, kind, answers } of facts) {
    // A file that is mounted by itself has to be mounted otherwise in any case.
    if (told.has(mount.id) || kind === 'file' || !isWithoutEvents(mount)) continue;
    told.add(mount.id);
    const file = path ?? mount.point;
    const where = file === mount.point ? '' : `, mounted at ${mount.point}`;
    const silent = answers ? '' : ', and it did not answer in time';
    const message = `${file} is on a file system of type ${mount.type}${where}, which tells nothing of ${unheard(mount)}${silent}`;
    findings.push(finding('MOUNT_WITHOUT_EVENTS', 'warning', { file, message }));
  }
  return findings;
}

function unheard({ type }: Mount): string {
  return type === 'overlay' ? 'changes made in its lower layers' : 'changes made elsewhere';
}
