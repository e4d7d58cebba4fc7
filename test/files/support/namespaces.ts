import { spawnSync } from 'node:child_process';

/**
 * Why tests that need namespaces of their own (unshare) cannot run here; false when they can. Where the environment says that
 * everything has to be there (`CI=true`) they run regardless, and fail.
 * @param command a shell command that has to work in them, too
 */
export function cannotUnshare(flags: string, command = 'true'): string | false {
  if (process.env['CI'] === 'true') return false;
  const { status, error } = spawnSync('unshare', [flags, 'sh', '-ec', command], { stdio: 'ignore' });
  if (error) return `unshare cannot be run: ${error.message}`;
  return status === 0 ? false : `unshare ${flags} is not permitted here`;
}
