import { readFileSync } from 'node:fs';
import { messageOf, SwivelError, systemCode } from '../../errors.ts';

/** Whom workers run as. */
export interface Identity {
  /** As it was configured: a name, or a number as text. */
  readonly user: string;
  readonly uid: number;
  readonly gid: number;
}

/** What of the configuration names an identity: names, or numbers. */
export interface Account {
  readonly user?: string | number | undefined;
  /** The group of the user in the passwd file when left out. */
  readonly group?: string | number | undefined;
}

/** The account files, passwd(5) and group(5). */
export interface AccountFiles {
  readonly passwd: string;
  readonly group: string;
}

const systemFiles: AccountFiles = { passwd: '/etc/passwd', group: '/etc/group' };
/** (uid_t) -1 means "leave as it is" to the system, and is nobody's number. */
const highestId = 2 ** 32 - 2;

/**
 * Finds a user and group by name or number. A number needs no entry: a user without one gets the group of the same number. Nothing but
 * the two files is asked, so users of a directory service are named by number.
 * @returns null when no user is configured
 * @throws SwivelError USER_UNKNOWN; USER_IS_ROOT for user or group 0, which would drop nothing
 */
export function resolveUser({ user, group }: Account, files: AccountFiles = systemFiles): Identity | null {
  if (user === undefined) return null;
  const entry = find(user, 'user', files.passwd);
  const uid = entry?.id ?? idOf(user, 'user', files.passwd);
  const gid = group === undefined ? (entry?.gid ?? uid) : gidOf(group, files.group);
  if (uid === 0) throw new SwivelError('USER_IS_ROOT', `process.user ${user} is root`);
  if (gid === 0) {
    const whose = group === undefined ? `the group of process.user ${user}` : `process.group ${group}`;
    throw new SwivelError('USER_IS_ROOT', `${whose} is the group of root`);
  }
  return { user: String(user), uid, gid };
}

/**
 * As {@link resolveUser}, where there is anything to drop.
 * @returns null when this process is not root's, whatever is configured
 */
export function workerIdentity(account: Account): Identity | null {
  return process.getuid?.() === 0 ? resolveUser(account) : null;
}

function gidOf(group: string | number, file: string): number {
  return find(group, 'group', file)?.id ?? idOf(group, 'group', file);
}

interface Entry {
  readonly id: number;
  /** Of a user: its group. */
  readonly gid: number;
}

/** The entry whose name this is, else the one whose number it is. Both files have the number in their third field. */
function find(wanted: string | number, kind: 'user' | 'group', file: string): Entry | undefined {
  const entries = readEntries(kind, file, typeof wanted === 'string' && !isId(wanted));
  const text = String(wanted);
  return entries.find(({ name }) => name === text) ?? entries.find(({ id }) => isId(text) && id === Number(text));
}

function readEntries(kind: 'user' | 'group', file: string, needed: boolean): (Entry & { readonly name: string })[] {
  let text = '';
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (needed) {
      const why = systemCode(error) ?? messageOf(error);
      throw new SwivelError('USER_UNKNOWN', `no ${kind} can be found by name: ${file} cannot be read (${why})`);
    }
  }
  return text.split('\n').flatMap((line) => {
    const [name = '', , id = '', gid = ''] = line.split(':');
    if (name === '' || !isId(id) || (kind === 'user' && !isId(gid))) return [];
    return [{ name, id: Number(id), gid: Number(gid) }];
  });
}

function idOf(wanted: string | number, kind: 'user' | 'group', file: string): number {
  if (!isId(String(wanted))) throw new SwivelError('USER_UNKNOWN', `${file} has no ${kind} ${wanted}`);
  return Number(wanted);
}

function isId(text: string): boolean {
  return /^\d{1,10}$/.test(text) && Number(text) <= highestId;
}
