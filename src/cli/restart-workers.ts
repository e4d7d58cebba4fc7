import type { RestartAnswer } from '../admin/index.ts';
import { type AdminAccess, askAdmin } from './admin-client.ts';

/** Milliseconds: each worker gets all certificates before the next one is replaced. */
const patience = 600_000;

/** Has every worker replaced by one that runs the program as it is on disk now. @returns the exit code */
export async function restartWorkers(admin: AdminAccess): Promise<number> {
  const { replaced } = (await askAdmin(admin, '/restart-workers', 'POST', patience)).body as RestartAnswer;
  for (const { old, new: next, version } of replaced) {
    process.stdout.write(`worker ${old} was replaced by worker ${next}, version ${version}\n`);
  }
  return 0;
}
