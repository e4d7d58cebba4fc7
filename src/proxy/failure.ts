import { errors } from 'undici';
import { catalogue, type ErrorCode, systemCode } from '../errors.ts';
import { ClientStalled } from './body.ts';
import type { Responder } from './responder.ts';

/** Why there is no answer from upstream, and what the client is told instead. */
export interface Failure {
  readonly status: number;
  readonly code: ErrorCode;
}

const timeouts = new Set(['UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT', 'ETIMEDOUT']);
const invalid = new Set(['UND_ERR_HEADERS_OVERFLOW', 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH']);
/** No descriptor, port or memory left for a connection: nothing that the target could help. */
const exhausted = new Set(['EMFILE', 'ENFILE', 'EADDRNOTAVAIL', 'ENOBUFS', 'ENOMEM']);
const stopping = new Set(['UND_ERR_DESTROYED', 'UND_ERR_CLOSED']);

/**
 * Reads an error of undici's.
 * @param sent whether a connection was there and the request on its way
 */
export function failureOf(error: Error, sent: boolean): Failure {
  const code = systemCode(error) ?? '';
  if (error instanceof ClientStalled) return { status: 408, code: 'REQUEST_MALFORMED' };
  // Undici holds something in the head to be invalid that got past us.
  if (code === 'UND_ERR_INVALID_ARG' || code === 'UND_ERR_NOT_SUPPORTED') {
    return { status: 400, code: 'REQUEST_MALFORMED' };
  }
  if (stopping.has(code)) return { status: 503, code: 'SHUTTING_DOWN' };
  if (exhausted.has(code)) return { status: 503, code: 'INTERNAL' };
  if (!sent) return { status: 502, code: 'UPSTREAM_UNREACHABLE' };
  if (timeouts.has(code)) return { status: 504, code: 'UPSTREAM_TIMEOUT' };
  if (error instanceof errors.HTTPParserError || invalid.has(code)) return { status: 502, code: 'UPSTREAM_INVALID' };
  return { status: 502, code: 'UPSTREAM_CLOSED' };
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
