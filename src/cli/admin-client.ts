import { messageOf, SwivelError } from '../errors.ts';

/**
 * Asks a running Swivel.
 * @param url of its admin endpoints, without a path
 * @throws SwivelError ADMIN_UNREACHABLE, ADMIN_REFUSED
 */
export async function askAdmin(
  url: string,
  path: string,
  method: 'GET' | 'POST',
): Promise<{ status: number; body: unknown }> {
  let response: Response;
  try {
    response = await fetch(`${url}${path}`, { method, signal: AbortSignal.timeout(30_000) });
  } catch (error) {
    const cause = error instanceof Error && error.cause ? messageOf(error.cause) : messageOf(error);
    throw new SwivelError('ADMIN_UNREACHABLE', `${url} does not answer (${cause})`, { cause: error });
  }
  const text = await response.text();
  if (response.status === 403) throw new SwivelError('ADMIN_REFUSED');
  try {
    return { status: response.status, body: JSON.parse(text) };
  } catch {
    throw new SwivelError('ADMIN_UNREACHABLE', `${url} is not a Swivel admin address: it answered ${response.status}`);
  }
}
