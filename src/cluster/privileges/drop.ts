import { messageOf, SwivelError } from '../../errors.ts';
import type { Identity } from './accounts.ts';
import { type Credentials, credentialsOfThreads } from './credentials.ts';

/**
 * Turns this process from root into another user for good, and makes sure of it. Its only group is the identity's: a worker opens no
 * files, so the user's other groups (such as `ssl-cert`) would only let it read keys. Call it when the code is loaded and before the
 * process gets anything secret. The kernel also makes the process undumpable (PR_SET_DUMPABLE(2const)), unless
 * `fs.suid_dumpable` says otherwise: no core dump, and no `/proc/PID/environ` or `mem` for others of that user.
 * @returns false when this process is not root's, and nothing was done
 * @throws SwivelError PRIVILEGES_KEPT; then the process must not go on
 */
export function dropPrivileges(identity: Identity): boolean {
  if (process.getuid?.() !== 0 && process.geteuid?.() !== 0) return false;
  const { uid, gid } = identity;
  attempt(`set its groups to ${gid}`, () => process.setgroups?.([gid]));
  attempt(`change to group ${gid}`, () => process.setgid?.(gid));
  attempt(`change to user ${identity.user} (${uid})`, () => process.setuid?.(uid));
  verify(identity);
  return true;
}

function attempt(what: string, change: () => void): void {
  try {
    change();
  } catch (error) {
    throw new SwivelError('PRIVILEGES_KEPT', `the worker cannot ${what}: ${messageOf(error)}`, { cause: error });
  }
}

function verify(identity: Identity): void {
  const ways: Record<string, () => void> = {
    setuid: () => process.setuid?.(0),
    seteuid: () => process.seteuid?.(0),
    setgid: () => process.setgid?.(0),
  };
  for (const [name, way] of Object.entries(ways)) {
    if (succeeds(way)) throw new SwivelError('PRIVILEGES_KEPT', `the worker could become root again by ${name}`);
  }
  if (process.platform !== 'linux') return;
  let threads: readonly Credentials[];
  try {
    threads = credentialsOfThreads();
  } catch (error) {
    const message = `what the worker may do cannot be verified: ${messageOf(error)}`;
    throw new SwivelError('PRIVILEGES_KEPT', message, { cause: error });
  }
  for (const thread of threads) {
    const kept = keptBy(thread, identity);
    if (kept !== null) throw new SwivelError('PRIVILEGES_KEPT', `the worker kept ${kept}`);
  }
}

function succeeds(way: () => void): boolean {
  try {
    way();
    return true;
  } catch {
    return false;
  }
}

/** What a thread still has beside its identity, in words; null when nothing. */
export function keptBy({ uids, gids, groups, capabilities }: Credentials, { uid, gid }: Identity): string | null {
  if (uids.length === 0 || uids.some((one) => one !== uid)) return `user ids ${uids.join(' ')}`;
  if (gids.length === 0 || gids.some((one) => one !== gid)) return `group ids ${gids.join(' ')}`;
  const others = groups.filter((one) => one !== gid);
  if (others.length > 0) return `the groups ${others.join(' ')}`;
  for (const set of ['effective', 'permitted', 'inheritable', 'ambient'] as const) {
    if (capabilities[set] !== 0n) return `${set} capabilities 0x${capabilities[set].toString(16)}`;
  }
  return null;
}
