import { spawnSync } from 'node:child_process';
import { type Finding, finding, messageOf } from '../../errors.ts';
import { excessOf, isBetter, neededOf } from './capabilities.ts';
import { type Credentials, ownCredentials, parseCredentials } from './credentials.ts';

export interface LimitOptions {
  /** Whether this process writes files: a development source, say. */
  readonly writes: boolean;
  /** The program, util-linux's setpriv(1). */
  readonly setpriv?: string;
}

/**
 * Holds the id of the process that was started again. It is taken out of the environment at once, and an id is nobody else's, so no
 * program that Swivel starts can take it for its own.
 */
const marker = 'SWIVEL_LIMITED';

/**
 * Takes from a root process the capabilities that a primary does not need, and the gain of new ones by running programs
 * (no_new_privs), for good, for itself and all it starts. Node.js cannot do that, so the process is replaced by
 * setpriv(1) and that by the same command: **it may not return**. Process id, standard streams, directory and exit code stay; other
 * descriptors, timers and listeners do not. So call it before anything is opened. It is tried out on another process before, so that it
 * never keeps Swivel from starting.
 *
 * With user id 0 the permitted set after execve(2) is what the bounding set allows.
 * @returns a warning when more is kept than is needed; null when not, or when this process is not root's
 */
export function limitCapabilities({ writes, setpriv = '/usr/bin/setpriv' }: LimitOptions): Finding | null {
  const again = process.env[marker] === String(process.pid);
  delete process.env[marker];
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return null;
  try {
    const now = ownCredentials();
    const needed = neededOf(now, writes);
    if (excessOf(now, needed) === 0n && now.noNewPrivileges) return null;
    if (again) return kept(now, excessOf(now, needed), 'they were there after a new start, too');
    if (process.channel)
      return kept(now, excessOf(now, needed), 'a new start would cut the channel to the parent process');
    const rest = ['--inh-caps=-all', '--no-new-privs'];
    // The bounding set can be lowered with CAP_SETPCAP only.
    for (const wanted of [[`--bounding-set=${['-all', ...needed.map((name) => `+${name}`)]}`, ...rest], rest]) {
      const then = tryOut(setpriv, wanted);
      if (then && isBetter(now, then, needed)) startAgain(setpriv, wanted);
    }
    return kept(now, excessOf(now, needed), `${setpriv} cannot take them away here`);
  } catch (error) {
    return finding('CAPABILITIES_KEPT', 'warning', {
      message: `the capabilities of the primary cannot be limited: ${messageOf(error)}`,
    });
  }
}

function kept({ noNewPrivileges }: Credentials, excess: bigint, why: string): Finding | null {
  if (excess === 0n && noNewPrivileges) return null;
  const what =
    excess === 0n ? 'the right to gain privileges' : `capabilities it does not need (0x${excess.toString(16)})`;
  return finding('CAPABILITIES_KEPT', 'warning', { message: `the primary keeps ${what}: ${why}` });
}

/** What a program may do that is started this way; null when it cannot be started. */
function tryOut(setpriv: string, wanted: readonly string[]): Credentials | null {
  const { status, stdout } = spawnSync(setpriv, [...wanted, '--', 'cat', '/proc/self/status'], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
    timeout: 5000,
  });
  return status === 0 ? parseCredentials(stdout) : null;
}

/** A failing execve aborts Node.js, so only what was tried out is started. */
function startAgain(setpriv: string, wanted: readonly string[]): void {
  const command = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  process.execve?.(setpriv, [setpriv, ...wanted, '--', ...command], { ...process.env, [marker]: String(process.pid) });
}
