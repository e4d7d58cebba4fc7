import type { Credentials } from './credentials.ts';

/** Numbers of the capabilities that are spoken of here (capabilities(7), linux/capability.h). */
const numbers = { dac_override: 1, dac_read_search: 2, kill: 5, setgid: 6, setuid: 7, net_bind_service: 10 } as const;

type Capability = keyof typeof numbers;

/** To bind a low port, to make workers another user, and to signal them then. */
const always: readonly Capability[] = ['kill', 'setgid', 'setuid', 'net_bind_service'];

/** Bits of a set of capabilities. */
function bitsOf(names: readonly Capability[]): bigint {
  return names.reduce((bits, name) => bits | (1n << BigInt(numbers[name])), 0n);
}

/**
 * Which of the capabilities that a root process has it needs to be the primary. Root without `dac_read_search` (the default of Docker)
 * reads keys of other users by `dac_override`.
 * @param writes whether it also writes files, into directories that may be another user's
 */
export function neededOf({ capabilities: { bounding } }: Credentials, writes: boolean): readonly Capability[] {
  const has = (name: Capability) => (bounding & bitsOf([name])) !== 0n;
  const reads: Capability = has('dac_read_search') ? 'dac_read_search' : 'dac_override';
  const wanted: readonly Capability[] = writes ? [...always, reads, 'dac_override'] : [...always, reads];
  return [...new Set(wanted)].filter(has);
}

/** The bits of what a process has, or can get by running a program, beyond the capabilities it needs. */
export function excessOf({ capabilities }: Credentials, needed: readonly Capability[]): bigint {
  const { bounding, permitted, inheritable, ambient } = capabilities;
  return ((bounding | permitted) & ~bitsOf(needed)) | inheritable | ambient;
}

/** Whether the second of two states of a process is closer to what is needed. */
export function isBetter(now: Credentials, then: Credentials, needed: readonly Capability[]): boolean {
  const [before, after] = [excessOf(now, needed), excessOf(then, needed)];
  const fewer = after !== before && (after & ~before) === 0n;
  const nothingLost = then.capabilities.permitted & bitsOf(needed);
  if (nothingLost !== (now.capabilities.permitted & bitsOf(needed))) return false;
  return fewer || (after === before && then.noNewPrivileges && !now.noNewPrivileges);
}
