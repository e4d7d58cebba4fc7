import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { type Finding, finding, messageOf } from '../../errors.ts';

/**
 * Bytes. The kernel writes no core file below a page, and pipes none to a program of `kernel.core_pattern` when the limit is exactly 1;
 * a limit of 0 does not hold back a pipe (core(5); `coredump_pipe()` in Linux's fs/coredump.c).
 */
const noCore = 1;

/**
 * Makes sure that this process, and every one it starts from then on, leaves no core dump, which would hold private keys. Node.js has no
 * setrlimit, so util-linux's prlimit(1) does it, in about 4 ms. Call it before anything secret is read.
 * @param prlimit the program
 * @returns a warning when it could not be done
 */
export function disableCoreDumps(prlimit = '/usr/bin/prlimit'): Finding | null {
  if (process.platform !== 'linux') return null;
  try {
    if (leavesNone(ownLimit())) return null;
    const { error, status } = spawnSync(prlimit, [`--pid=${process.pid}`, `--core=${noCore}:${noCore}`], {
      stdio: 'ignore',
      timeout: 5000,
    });
    const limit = ownLimit();
    // Where even root may not raise a limit of 0, a program that takes dumps is told that the limit is 0.
    if (limit <= noCore) return null;
    return kept(error ? messageOf(error) : `prlimit ended with ${status}, the limit is ${limit}`);
  } catch (error) {
    return kept(messageOf(error));
  }
}

function kept(why: string): Finding {
  return finding('CORE_DUMPS_ON', 'warning', {
    message: `core dumps cannot be switched off, and one would hold private keys: ${why}`,
  });
}

function leavesNone(limit: number): boolean {
  return limit === noCore || (limit === 0 && !isPiped());
}

/** Bytes that a core dump of this process may have. @throws where there is no /proc */
function ownLimit(): number {
  const limit = /^Max core file size\s+(\d+|unlimited)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
  return limit === undefined || limit === 'unlimited' ? Number.POSITIVE_INFINITY : Number(limit);
}

/** Whether a program, or a socket (`@`), gets core dumps. */
function isPiped(): boolean {
  return /^[|@]/.test(readFileSync('/proc/sys/kernel/core_pattern', 'utf8'));
}
