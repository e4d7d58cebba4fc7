import { readFile } from 'node:fs/promises';
import { catalogue, type ErrorCode, messageOf, SwivelError, systemCode } from '../errors.ts';

/** How to reach a running Swivel. */
export interface AdminAccess {
  /** Of its admin endpoints, without a path. */
  readonly url: string;
  /** A file with the bearer token that lets other machines change something. */
  readonly tokenFile?: string | undefined;
}

/** Milliseconds. */
const patience = 30_000;

/**
 * Asks a running Swivel.
 * @param timeout milliseconds to wait for the answer
 * @throws SwivelError ADMIN_UNREACHABLE, ADMIN_REFUSED, or what Swivel answered
 */
export async function askAdmin(
  { url, tokenFile }: AdminAccess,
  path: string,
  method: 'GET' | 'POST',
  timeout = patience,
): Promise<{ status: number; body: unknown }> {
  const headers = tokenFile === undefined ? {} : { authorization: `Bearer ${await readToken(tokenFile)}` };
  let status: number;
  let text: string;
  try {
    const response = await fetch(`${url}${path}`, { method, headers, signal: AbortSignal.timeout(timeout) });
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

async function readToken(path: string): Promise<string> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw new SwivelError('USAGE', `--token-file ${path} cannot be read (${systemCode(error) ?? 'unknown error'})`);
  });
  return text.trim();
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
