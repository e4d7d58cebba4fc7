import type { ReloadAnswer } from '../admin/index.ts';
import { askAdmin } from './admin-client.ts';

/** Has a running Swivel reconcile now, and prints what changed and what was rejected. @returns the exit code */
export async function reload(admin: string): Promise<number> {
  const answer = (await askAdmin(admin, '/reload', 'POST')).body as ReloadAnswer;
  for (const { certificate, result, code, message, remedy } of answer.results) {
    const why = code ? `: ${code}: ${message}; ${remedy}` : '';
    process.stdout.write(`${certificate}: ${result}${why}\n`);
  }
  process.stdout.write(`generation ${answer.generation}\n`);
  return answer.results.some(({ result }) => result === 'rejected') ? 3 : 0;
}
