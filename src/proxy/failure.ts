import { catalogue, type ErrorCode, systemCode } from '../errors.ts';
import { WireError } from '../upstream/index.ts';
import { ClientStalled, MalformedBody } from './body.ts';
import type { Responder } from './responder.ts';

/** Why there is no answer from upstream, and what the client is told instead. */
export interface Failure {
  readonly status: number;
  readonly code: ErrorCode;
}

const failures = {
  closed: { status: 502, code: 'UPSTREAM_CLOSED' },
  timeout: { status: 504, code: 'UPSTREAM_TIMEOUT' },
  invalid: { status: 502, code: 'UPSTREAM_INVALID' },
  stopping: { status: 503, code: 'SHUTTING_DOWN' },
  body: { status: 400, code: 'REQUEST_MALFORMED' },
} as const satisfies Record<WireError['fault'], Failure>;

/** No descriptor, port or memory left for a connection: nothing that the target could help. */
const exhausted = new Set(['EMFILE', 'ENFILE', 'EADDRNOTAVAIL', 'ENOBUFS', 'ENOMEM']);

/**
 * Reads what was told of a request that failed on its way upstream.
 * @param sent whether a connection was there and the request on its way
 */
export function failureOf(error: Error, sent: boolean): Failure {
  const code = systemCode(error) ?? '';
  if (error instanceof ClientStalled) return { status: 408, code: 'REQUEST_MALFORMED' };
  if (error instanceof MalformedBody) return { status: error.status, code: 'REQUEST_MALFORMED' };
  if (error instanceof WireError && (sent || error.fault === 'stopping')) return failures[error.fault];
  if (exhausted.has(code)) return { status: 503, code: 'INTERNAL' };
  if (!sent) return { status: 502, code: 'UPSTREAM_UNREACHABLE' };
  return code === 'ETIMEDOUT' ? failures.timeout : failures.closed;
}

/** Answers with an error of Swivel's own: a line for people that names the code. */
export function answer(responder: Responder, failure: Failure, requestId?: string, close = false): void {
  const { summary, remedy } = catalogue[failure.code];
  const body = Buffer.from(`${failure.code}: ${summary}; ${remedy}\n`);
  const headers = ['content-type', 'text/plain; charset=utf-8', 'content-length', String(body.length)];
  if (requestId !== undefined) headers.push('x-request-id', requestId);
  if (close) headers.push('connection', 'close');
  responder.head(failure.status, headers);
  responder.write(body);
  responder.end([]);
}
