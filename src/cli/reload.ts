import type { ReloadAnswer } from '../admin/index.ts';
import { type AdminAccess, askAdmin } from './admin-client.ts';

interface ReloadFlags {
  /** Ids of certificates whose key is known to others. */
  readonly compromised: readonly string[];
  /** Ids of certificates to serve whatever the gate says. */
  readonly accept: readonly string[];
}

/** Has a running Swivel reconcile now, and prints what came of it. @returns the exit code: 3 when something was rejected */
export async function reload(admin: AdminAccess, { compromised, accept }: ReloadFlags): Promise<number> {
  const query = new URLSearchParams();
  for (const id of compromised) query.append('compromised', id);
  for (const id of accept) query.append('accept', id);
  const answer = (await askAdmin(admin, `/reload${query.size > 0 ? `?${query}` : ''}`, 'POST')).body as ReloadAnswer;
  printResults(answer);
  return answer.results.some(({ result }) => result === 'rejected') ? 3 : 0;
}

/** One line for each certificate, and the generation. */
export function printResults({ generation, results }: ReloadAnswer): void {
  for (const { certificate, result, code, message, remedy } of results) {
    const why = code ? `: ${code}: ${message}; ${remedy}` : '';
    process.stdout.write(`${certificate}: ${result}${why}\n`);
  }
  process.stdout.write(`generation ${generation}\n`);
}
