import { readdirSync, readFileSync } from 'node:fs';

/** Capability sets as bits, 1n << number (capabilities(7)). */
export interface Capabilities {
  readonly inheritable: bigint;
  readonly permitted: bigint;
  readonly effective: bigint;
  readonly bounding: bigint;
  readonly ambient: bigint;
}

/** What the kernel says of one thread in its `status` file, proc_pid_status(5). */
export interface Credentials {
  /** Real, effective, saved, and of the file system. */
  readonly uids: readonly number[];
  readonly gids: readonly number[];
  readonly groups: readonly number[];
  readonly capabilities: Capabilities;
  readonly noNewPrivileges: boolean;
}

/** Reads the text of a `status` file. A kernel without ambient capabilities or no_new_privs has no such line. */
export function parseCredentials(text: string): Credentials {
  const fields = new Map(text.split('\n').map((line) => line.split(':\t', 2) as [string, string | undefined]));
  const numbers = (name: string) => (fields.get(name) ?? '').split(/\s+/).filter(Boolean).map(Number);
  const bits = (name: string) => BigInt(`0x${fields.get(name)?.trim() || '0'}`);
  return {
    uids: numbers('Uid'),
    gids: numbers('Gid'),
    groups: numbers('Groups'),
    capabilities: {
      inheritable: bits('CapInh'),
      permitted: bits('CapPrm'),
      effective: bits('CapEff'),
      bounding: bits('CapBnd'),
      ambient: bits('CapAmb'),
    },
    noNewPrivileges: numbers('NoNewPrivs')[0] === 1,
  };
}

/** Those of this process. @throws where there is no /proc */
export function ownCredentials(): Credentials {
  return parseCredentials(readFileSync('/proc/self/status', 'utf8'));
}

/** Those of each thread of this process: to the kernel they are a thread's, not a process's. @throws where there is no /proc */
export function credentialsOfThreads(): Credentials[] {
  return readdirSync('/proc/self/task').map((thread) =>
    parseCredentials(readFileSync(`/proc/self/task/${thread}/status`, 'utf8')),
  );
}
