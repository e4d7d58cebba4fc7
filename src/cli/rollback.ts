import type { ReloadAnswer } from '../admin/index.ts';
import { type AdminAccess, askAdmin } from './admin-client.ts';
import { printResults } from './reload.ts';

/** Goes back to an earlier certificate. @param certificate an id; what the last change changed when left out @returns the exit code */
export async function rollback(admin: AdminAccess, certificate: string | undefined): Promise<number> {
  const query = certificate === undefined ? '' : `?${new URLSearchParams({ certificate })}`;
  const answer = (await askAdmin(admin, `/rollback${query}`, 'POST')).body as ReloadAnswer;
  const back = new Set(answer.rolledBack);
  for (const id of back) process.stdout.write(`${id}: rolled back\n`);
  printResults({ ...answer, results: answer.results.filter(({ certificate: id }) => !back.has(id)) });
  return 0;
}
