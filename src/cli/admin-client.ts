import { catalogue, type ErrorCode, messageOf, SwivelError } from '../errors.ts';

/**
 * Asks a running Swivel.
 * @param url of its admin endpoints, without a path
 * @throws SwivelError ADMIN_UNREACHABLE, ADMIN_REFUSED, or what Swivel answered
 */
export async function askAdmin(
  url: string,
  path: string,
  method: 'GET' | 'POST',
): Promise<{ status: number; body: unknown }> {
  let status: number;
  let text: string;
  try {
    const response = await fetch(`${url}${path}`, { method, signal: AbortSignal.timeout(30_000) });
    status = response.status;
    text = await response.text();
  } catch (error) {
    const cause = error instanceof Error && error.cause ? messageOf(error.cause) : messageOf(error);
    throw new SwivelError('ADMIN_UNREACHABLE', `${url} does not answer (${cause})`, { cause: error });
  }
  const body = parseObject(text);
  if (body && isErrorCode(body['code'])) throw new SwivelError(body['code'], String(body['message']));
  if (body && ('generation' in body || 'ready' in body)) return { status, body };
  throw new SwivelError('ADMIN_UNREACHABLE', `${url} is not a Swivel admin address: it answered ${status}`);
}

function parseObject(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? { ...value } : null;
  } catch {
    return null;
  }
}

function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === 'string' && Object.hasOwn(catalogue, value);
}
