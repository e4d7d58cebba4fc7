import { randomUUID } from 'node:crypto';
import { isIPv6 } from 'node:net';
import type { Authority } from './authority.ts';
import { type ClientHeaderNames, clientHeaders } from './client-headers.ts';
import type { Admitted, ClientFacts } from './request.ts';

/** Fields that concern one connection only (RFC 9110 §7.6.1), beside those that `Connection` names. */
const hopByHop = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
]);

/**
 * Fields of a request that go no further either: Host is written anew, Expect was answered for, trailers are not passed on, and
 * a CGI program takes `Proxy` for its own HTTP_PROXY.
 */
const endsHere = new Set(['host', 'expect', 'trailer', 'proxy']);

/** Fields that may not stand in trailers, because a recipient that merges them would be misled (RFC 9110 §6.5.1). */
const notInTrailers = new Set([
  'authorization',
  'cache-control',
  'content-encoding',
  'content-length',
  'content-range',
  'content-type',
  'cookie',
  'expect',
  'host',
  'set-cookie',
  'trailer',
]);

export interface ForwardingOptions {
  /** Whether a peer's own `X-Forwarded-*`, `Forwarded` and `X-Request-Id` are believed. */
  readonly trusts: (address: string) => boolean;
  /** The field that tells upstream which certificate the client was given; none when null. */
  readonly certificateHeader: string | null;
  /** The fields that tell upstream the verified certificate of the client. */
  readonly clientHeaders: ClientHeaderNames;
}

/** The fields of a request as they go upstream. */
export interface OutgoingHeaders {
  readonly headers: string[];
  readonly requestId: string;
}

/** @param name lower case */
export function hasField(headers: readonly string[], name: string): boolean {
  for (let i = 0; i < headers.length; i += 2) if (headers[i]?.toLowerCase() === name) return true;
  return false;
}

/** The names listed in `Connection`, lower case. */
export function connectionOptions(headers: readonly string[]): Set<string> {
  const names = new Set<string>();
  for (let i = 0; i < headers.length; i += 2) {
    if (headers[i]?.toLowerCase() !== 'connection') continue;
    for (const name of (headers[i + 1] ?? '').split(',')) names.add(name.trim().toLowerCase());
  }
  return names;
}

/**
 * Edits the fields of a request: hop-by-hop ones out, Host and the forwarding ones in, cookie crumbs joined (RFC 9113 §8.2.3).
 * @param received names and values in turn
 */
export function requestHeaders(
  received: readonly string[],
  authority: Authority,
  client: ClientFacts,
  options: ForwardingOptions,
  admission: Pick<Admitted, 'certificate'> = { certificate: null },
): OutgoingHeaders {
  const named = connectionOptions(received);
  const trusted = options.trusts(client.address);
  const headers: string[] = ['host', authority.text];
  const claims = new Map<string, string>();
  const cookies: string[] = [];
  let trailers = false;
  for (let i = 0; i < received.length; i += 2) {
    const name = received[i] ?? '';
    const value = received[i + 1] ?? '';
    const lower = name.toLowerCase();
    if (lower === 'te' && /(^|,)\s*trailers\s*(,|;|$)/i.test(value)) trailers = true;
    if (isDropped(lower, named) || isReserved(lower, options) || isDisguised(lower, options)) continue;
    if (isClaim(lower)) {
      const before = claims.get(lower);
      if (trusted) claims.set(lower, before === undefined ? value : `${before}, ${value}`);
    } else if (lower === 'cookie') cookies.push(value);
    else headers.push(name, value);
  }
  if (cookies.length > 0) headers.push('cookie', cookies.join('; '));
  // Says only that trailers are understood; it is answered for, not passed through (RFC 9110 §10.1.4).
  if (trailers) headers.push('te', 'trailers');
  const requestId = claims.get('x-request-id') ?? randomUUID();
  pushForwarded(headers, authority, client, claims);
  headers.push('x-request-id', requestId);
  if (options.certificateHeader !== null) {
    headers.push(options.certificateHeader, `${client.certificate.id} ${client.certificate.fingerprint256}`);
  }
  const [leaf] = admission.certificate?.chain ?? [];
  if (leaf) headers.push(...clientHeaders(leaf, options.clientHeaders));
  return { headers, requestId };
}

/** Fields that Swivel alone writes: nobody is believed in them, not even a trusted proxy. */
function isReserved(name: string, { certificateHeader, clientHeaders }: ForwardingOptions): boolean {
  if (name === certificateHeader) return true;
  for (const key in clientHeaders) if (clientHeaders[key as keyof ClientHeaderNames] === name) return true;
  return false;
}

function isDropped(name: string, named: ReadonlySet<string>): boolean {
  return hopByHop.has(name) || endsHere.has(name) || named.has(name);
}

/** Fields about the way a request took: written by Swivel, and believed only of peers that are trusted. */
function isClaim(name: string): boolean {
  return name === 'forwarded' || name === 'x-request-id' || name.startsWith('x-forwarded-');
}

/** Whether a name becomes one of ours where `_` and `-` are the same, as in CGI and what followed it (RFC 3875 §4.1.18). */
function isDisguised(name: string, options: ForwardingOptions): boolean {
  if (!name.includes('_')) return false;
  const plain = name.replaceAll('_', '-');
  return isClaim(plain) || hopByHop.has(plain) || isReserved(plain, options);
}

function pushForwarded(
  headers: string[],
  authority: Authority,
  client: ClientFacts,
  claims: ReadonlyMap<string, string>,
): void {
  const append = (name: string, value: string) => {
    const before = claims.get(name);
    headers.push(name, before === undefined ? value : `${before}, ${value}`);
  };
  append('x-forwarded-for', client.address);
  const ours = {
    'x-forwarded-proto': 'https',
    'x-forwarded-host': authority.text,
    'x-forwarded-port': String(authority.port ?? 443),
  };
  for (const [name, value] of Object.entries(ours)) headers.push(name, claims.get(name) ?? value);
  // RFC 7239 §4 and §6: an IPv6 address stands in brackets, without its zone, and what holds a colon is quoted.
  const node = isIPv6(client.address) ? `"[${client.address.replace(/%.*/, '')}]"` : client.address;
  append('forwarded', `for=${node};host=${quoted(authority.text)};proto=https`);
  for (const [name, value] of claims) {
    if (!(name in ours) && name.startsWith('x-') && name !== 'x-forwarded-for' && name !== 'x-request-id') {
      headers.push(name, value);
    }
  }
}

function quoted(text: string): string {
  return /^[!#$%&'*+.^_`|~0-9a-z-]+$/i.test(text) ? text : `"${text.replace(/["\\]/g, '\\$&')}"`;
}

/**
 * Edits the fields of a response: hop-by-hop ones out, the id of the request in.
 * @param received names and values in turn
 * @param requestId what was sent upstream; an upstream that answers with it, or with one of its own, does not make it two
 */
export function responseHeaders(received: readonly string[], requestId?: string): string[] {
  const named = connectionOptions(received);
  const headers: string[] = [];
  for (let i = 0; i < received.length; i += 2) {
    const name = received[i] ?? '';
    const lower = name.toLowerCase();
    if (hopByHop.has(lower) || named.has(lower) || (lower === 'x-request-id' && requestId !== undefined)) continue;
    headers.push(name, received[i + 1] ?? '');
  }
  if (requestId !== undefined) headers.push('x-request-id', requestId);
  return headers;
}

/** Edits trailers: only what may stand there. @param received names and values in turn */
export function trailerFields(received: readonly string[]): string[] {
  const fields: string[] = [];
  for (let i = 0; i < received.length; i += 2) {
    const lower = received[i]?.toLowerCase() ?? '';
    if (!hopByHop.has(lower) && !notInTrailers.has(lower)) fields.push(received[i] ?? '', received[i + 1] ?? '');
  }
  return fields;
}

/** Fields as undici hands them over: buffers, names and values in turn; each byte one character (RFC 9110 §5.5). */
export function decodeFields(raw: unknown): string[] {
  return Array.isArray(raw) ? raw.map((part) => (Buffer.isBuffer(part) ? part.toString('latin1') : String(part))) : [];
}
