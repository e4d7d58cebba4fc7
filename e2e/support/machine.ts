import { spawnSync } from 'node:child_process';
import type { TestContext } from 'node:test';

/**
 * Whether this machine can do what a test needs. Where it cannot, the test is skipped with the reason; with `CI=true` it fails
 * instead, because there the means have to be present.
 */
export function canDo(t: Pick<TestContext, 'skip'>, what: string, command: readonly string[]): boolean {
  const [program = '', ...args] = command;
  const { status, error, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  if (status === 0) return true;
  const reason = `${what} is not possible here: ${(error?.message ?? stderr).trim()}`;
  if (process.env['CI'] === 'true') throw new Error(reason);
  t.skip(reason);
  return false;
}

/** Wraps a command so that file permissions hold for it: root reads everything. */
export function unprivileged(): readonly string[] {
  if (process.getuid?.() !== 0) return [];
  return ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];
}
