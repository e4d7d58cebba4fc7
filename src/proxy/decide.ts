import { coversHost } from '../certificates/index.ts';
import { type Authority, parseAuthority } from './authority.ts';
import { type ForwardingOptions, requestHeaders } from './headers.ts';
import { type ClientFacts, type Refusal, type RequestHead, refuse } from './request.ts';
import type { Router } from './router.ts';

/** A request that goes upstream, as it goes there. */
export interface Forward {
  readonly kind: 'forward';
  readonly upstream: string;
  readonly method: string;
  /** Origin-form. */
  readonly path: string;
  readonly headers: readonly string[];
  readonly requestId: string;
  readonly hasBody: boolean;
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
  const fields = readFields(head);
  if (fields.hosts > 1) return refuse(400, 'REQUEST_HOST', true);
  const target = readTarget(head, fields);
  if ('kind' in target) return target;
  const framing = judgeFraming(head, fields);
  if (framing) return framing;
  const { authority, path } = target;
  if (head.version === '2.0' && !belongsHere(authority.host, client, context))
    return refuse(421, 'REQUEST_MISDIRECTED');
  const admission = client.admit(authority.host);
  if (admission.kind === 'refuse') return admission;
  const upstream = context.router.match(authority.host, path);
  if (upstream === null) return refuse(404, 'ROUTE_NOT_FOUND');
  const { headers, requestId } = requestHeaders(head.headers, authority, client, context, admission);
  return {
    kind: 'forward',
    upstream,
    method: head.method,
    path,
    headers,
    requestId,
    hasBody: head.hasBody,
    // HTTP/1.0 knows no interim responses (RFC 9110 §10.1.1), and without a body there is nothing to wait for.
    expectsContinue: fields.expect !== undefined && head.version !== '1.0' && head.hasBody,
  };
}

interface Fields {
  hosts: number;
  host: string | undefined;
  lengths: string[];
  encodings: string[];
  expect: string | undefined;
}

function readFields(head: RequestHead): Fields {
  const fields: Fields = { hosts: 0, host: undefined, lengths: [], encodings: [], expect: undefined };
  for (let i = 0; i < head.headers.length; i += 2) {
    const value = head.headers[i + 1] ?? '';
    switch (head.headers[i]?.toLowerCase()) {
      case 'host':
        fields.hosts += 1;
        fields.host = value.trim();
        break;
      case 'content-length':
        fields.lengths.push(value.trim());
        break;
      case 'transfer-encoding':
        fields.encodings.push(value.trim().toLowerCase());
        break;
      case 'expect':
        fields.expect = value.trim().toLowerCase();
        break;
      default:
    }
  }
  return fields;
}

/** Where it goes, from target and Host (RFC 9112 §3.2 and §3.3). */
function readTarget(head: RequestHead, fields: Fields): { authority: Authority; path: string } | Refusal {
  if (head.method === 'CONNECT' || head.method === 'TRACE') return refuse(405, 'REQUEST_METHOD', true);
  let named = head.authority ?? fields.host;
  let path = head.target;
  const absolute = /^https?:\/\/([^/?#]*)(.*)$/i.exec(head.target);
  if (absolute) {
    const [, inTarget = '', rest = ''] = absolute;
    if (named !== undefined && named.toLowerCase() !== inTarget.toLowerCase()) return refuse(400, 'REQUEST_HOST', true);
    named = inTarget;
    // An OPTIONS request without a path is about the server as a whole (RFC 9112 §3.2.4), as `*` is.
    path = rest === '' && head.method === 'OPTIONS' ? '*' : rest.startsWith('/') ? rest : `/${rest}`;
  }
  if (
    head.authority !== undefined &&
    fields.host !== undefined &&
    fields.host.toLowerCase() !== head.authority.toLowerCase()
  ) {
    return refuse(400, 'REQUEST_HOST', true);
  }
  const authority = parseAuthority(named ?? '');
  if (!authority) return refuse(400, 'REQUEST_HOST', true);
  // Printable ASCII without a fragment is all that a request line may hold (RFC 9112 §3.2.1).
  if (!/^\/[\x21\x22\x24-\x7e]*$/.test(path)) return refuse(400, 'REQUEST_MALFORMED', true);
  return { authority, path };
}

/** What leaves doubt about where the body ends is refused, not guessed at (RFC 9112 §6.1 and §6.3). */
function judgeFraming(head: RequestHead, { lengths, encodings, expect }: Fields): Refusal | null {
  const lengthDoubtful = lengths.length > 1 || lengths.some((length) => !/^[0-9]{1,15}$/.test(length));
  const encodingDoubtful = encodings.length > 1 || encodings.some((encoding) => encoding !== 'chunked');
  const both = lengths.length > 0 && encodings.length > 0;
  if (lengthDoubtful || encodingDoubtful || both || (encodings.length > 0 && head.version !== '1.1')) {
    return refuse(400, 'REQUEST_FRAMING', true);
  }
  if (expect !== undefined && expect !== '100-continue') return refuse(417, 'REQUEST_MALFORMED', true);
  return null;
}

/** Whether a host may be asked for on this connection (RFC 9113 §9.1.1): its certificate covers it, or would be chosen for it anyway. */
function belongsHere(host: string, client: ClientFacts, context: DecisionContext): boolean {
  return coversHost(client.certificate.names, host) || context.certificateFor(host) === client.certificate.id;
}
