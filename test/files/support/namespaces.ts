import { spawnSync } from 'node:child_process';

/**
 * Why tests that need namespaces of their own (unshare) cannot run here; false when they can. Where the environment says that
 * everything has to be there (`CI=true`) they run regardless, and fail.
 */
export function cannotUnshare(flags: string): string | false {
  if (process.env['CI'] === 'true') return false;
  const { status, error } = spawnSync('unshare', [flags, 'true'], { stdio: 'ignore' });
  if (error) return `unshare cannot be run: ${error.message}`;
  return status === 0 ? false : `unshare ${flags} is not permitted`;
}
