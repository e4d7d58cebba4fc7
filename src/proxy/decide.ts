import { coversHost } from '../certificates/index.ts';
import type { ClientCertificate } from '../connections/index.ts';
import type { FieldText } from '../http1/index.ts';
import type { Framing } from '../upstream/index.ts';
import { type Authority, parseAuthority } from './authority.ts';
import { fieldNamesFor } from './field-names.ts';
import { type ForwardingOptions, type ReadFields, readFields, type SentFields, sentFields } from './headers.ts';
import { type ClientFacts, type Refusal, type RequestHead, refuse } from './request.ts';
import { createRequestId } from './request-id.ts';
import type { Router } from './router.ts';

/** A request that goes upstream, as it goes there. */
export interface Forward {
  readonly kind: 'forward';
  readonly upstream: string;
  readonly method: string;
  /** Origin-form. */
  readonly path: string;
  /** All but the request id. */
  readonly fields: FieldText;
  readonly requestId: string;
  /** How the body is framed upstream; null when there is none. */
  readonly framing: Framing;
  /** The client waits for 100 (Continue) before it sends the body. */
  readonly expectsContinue: boolean;
}

export interface DecisionContext extends ForwardingOptions {
  readonly router: Router;
  /** The id of the certificate that a new connection to a host would be given. */
  readonly certificateFor: (host: string) => string | undefined;
}

/**
 * Decides everything about a request: whether it is sound, where it goes, with which fields. The one place for that, whichever
 * protocol it came by. Pure, but for the request id.
 */
export function decide(head: RequestHead, client: ClientFacts, context: DecisionContext): Forward | Refusal {
  const { memo } = head;
  const fields = memo?.read ?? readFields(head.headers, fieldNamesFor(context));
  if (memo) memo.read = fields;
  if (fields.hosts > 1) return refuse(400, 'REQUEST_HOST', true);
  const target = readTarget(head, fields.host);
  if ('kind' in target) return target;
  const framing = readFraming(head, fields);
  if (framing !== null && typeof framing === 'object' && 'kind' in framing) return framing;
  const { authority, path } = target;
  if (head.version === '2.0' && !belongsHere(authority.host, client, context))
    return refuse(421, 'REQUEST_MISDIRECTED');
  const admission = client.admit(authority.host);
  if (admission.kind === 'refuse') return admission;
  const upstream = context.router.match(authority.host, path);
  if (upstream === null) return refuse(404, 'ROUTE_NOT_FOUND');
  const { text, requestId } = send(head, fields, authority, client, context, admission.certificate, framing);
  return {
    kind: 'forward',
    upstream,
    method: head.method,
    path,
    fields: text,
    requestId: requestId ?? createRequestId(),
    framing,
    // HTTP/1.0 knows no interim responses (RFC 9110 §10.1.1), and without a body there is nothing to wait for.
    expectsContinue: fields.expect !== undefined && head.version !== '1.0' && framing !== null,
  };
}

/** The fields as they go upstream, made anew only where something is different from the last time. */
function send(
  { memo, method }: RequestHead,
  fields: ReadFields,
  authority: Authority,
  client: ClientFacts,
  context: DecisionContext,
  admitted: ClientCertificate | null,
  framing: Framing,
): SentFields {
  const length = lengthOf(method, fields, framing);
  const before = memo?.sent;
  if (before?.certificate === client.certificate && before.admitted === admitted && before.length === length) {
    return before;
  }
  const sent = sentFields(fields, authority, client, context, admitted, length);
  if (memo) memo.sent = sent;
  return sent;
}

/** Where there is no body, a server may insist on hearing that (RFC 9110 §8.6). */
const expectsBody = new Set(['POST', 'PUT', 'PATCH']);

/** What is told of the length of the body: octets, `chunked`, or nothing. */
function lengthOf(method: string, fields: ReadFields, framing: Framing): string {
  if (typeof framing === 'string') return framing;
  if (framing !== null) return String(framing.length);
  return fields.lengths > 0 || expectsBody.has(method) ? '0' : '';
}

const slash = 0x2f;

/** Where it goes, from target and Host (RFC 9112 §3.2 and §3.3). */
function readTarget(head: RequestHead, host: string | undefined): { authority: Authority; path: string } | Refusal {
  if (head.method === 'CONNECT' || head.method === 'TRACE') return refuse(405, 'REQUEST_METHOD', true);
  let named = head.authority ?? host;
  let path = head.target;
  const absolute = path.charCodeAt(0) === slash ? null : /^https?:\/\/([^/?#]*)(.*)$/i.exec(path);
  if (absolute) {
    const [, inTarget = '', rest = ''] = absolute;
    if (named !== undefined && named.toLowerCase() !== inTarget.toLowerCase()) return refuse(400, 'REQUEST_HOST', true);
    named = inTarget;
    // An OPTIONS request without a path is about the server as a whole (RFC 9112 §3.2.4), as `*` is.
    path = rest === '' && head.method === 'OPTIONS' ? '*' : rest.startsWith('/') ? rest : `/${rest}`;
  }
  if (head.authority !== undefined && host !== undefined && host.toLowerCase() !== head.authority.toLowerCase()) {
    return refuse(400, 'REQUEST_HOST', true);
  }
  const authority = parseAuthority(named ?? '');
  if (!authority) return refuse(400, 'REQUEST_HOST', true);
  // Printable ASCII without a fragment is all that a request line may hold (RFC 9112 §3.2.1).
  if (!/^\/[\x21\x22\x24-\x7e]*$/.test(path)) return refuse(400, 'REQUEST_MALFORMED', true);
  return { authority, path };
}

/** What leaves doubt about where the body ends is refused, not guessed at (RFC 9112 §6.1 and §6.3). */
function readFraming(head: RequestHead, fields: ReadFields): Framing | Refusal {
  const { lengths, length, encodings, encoding, expect } = fields;
  const lengthDoubtful = lengths > 1 || (lengths === 1 && !/^[0-9]{1,15}$/.test(length));
  const encodingDoubtful = encodings > 1 || (encodings === 1 && (encoding !== 'chunked' || head.version !== '1.1'));
  const octets = lengths === 1 ? Number(length) : null;
  // A length without a body would make the next request on the connection a part of this one.
  const missing = !head.hasBody && (encodings > 0 || (octets ?? 0) > 0);
  if (lengthDoubtful || encodingDoubtful || missing || (lengths > 0 && encodings > 0)) {
    return refuse(400, 'REQUEST_FRAMING', true);
  }
  if (expect !== undefined && expect !== '100-continue') return refuse(417, 'REQUEST_MALFORMED', true);
  if (!head.hasBody) return null;
  return octets === null ? 'chunked' : { length: octets };
}

/** Whether a host may be asked for on this connection (RFC 9113 §9.1.1): its certificate covers it, or would be chosen for it anyway. */
function belongsHere(host: string, client: ClientFacts, context: DecisionContext): boolean {
  return coversHost(client.certificate.names, host) || context.certificateFor(host) === client.certificate.id;
}
