import { randomUUID } from 'node:crypto';
import { isIPv6 } from 'node:net';
import type { Authority } from './authority.ts';
import type { ClientFacts } from './request.ts';

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

/** Fields that Swivel writes itself. What a client sends under these names is overwritten, or appended to if it is trusted. */
const forwarded = new Set([
  'x-forwarded-for',
  'x-forwarded-proto',
  'x-forwarded-host',
  'x-forwarded-port',
  'forwarded',
]);

export interface ForwardingOptions {
  /** Whether a peer's own `X-Forwarded-*`, `Forwarded` and `X-Request-Id` are believed. */
  readonly trusts: (address: string) => boolean;
  /** The field that tells upstream which certificate the client was given; none when null. */
  readonly certificateHeader: string | null;
}

/** The fields of a request as they go upstream. */
export interface OutgoingHeaders {
  readonly headers: string[];
  readonly requestId: string;
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
): OutgoingHeaders {
  const named = connectionOptions(received);
  const headers: string[] = ['host', authority.text];
  const claimed = new Map<string, string>();
  const cookies: string[] = [];
  let trailers = false;
  for (let i = 0; i < received.length; i += 2) {
    const name = received[i] ?? '';
    const value = received[i + 1] ?? '';
    const lower = name.toLowerCase();
    if (lower === 'te' && /(^|,)\s*trailers\s*(,|;|$)/i.test(value)) trailers = true;
    if (forwarded.has(lower) || lower === 'x-request-id') {
      const before = claimed.get(lower);
      claimed.set(lower, before === undefined ? value : `${before}, ${value}`);
    } else if (lower === 'cookie') cookies.push(value);
    else if (!isDropped(lower, named) && lower !== options.certificateHeader) headers.push(name, value);
  }
  if (cookies.length > 0) headers.push('cookie', cookies.join('; '));
  // Says only that trailers are understood; it is answered for, not passed through (RFC 9110 §10.1.4).
  if (trailers) headers.push('te', 'trailers');
  const trusted = options.trusts(client.address) ? claimed : new Map<string, string>();
  const requestId = trusted.get('x-request-id') ?? randomUUID();
  pushForwarded(headers, authority, client, trusted);
  headers.push('x-request-id', requestId);
  if (options.certificateHeader !== null) {
    headers.push(options.certificateHeader, `${client.certificate.id} ${client.certificate.fingerprint256}`);
  }
  return { headers, requestId };
}

function isDropped(name: string, named: ReadonlySet<string>): boolean {
  return hopByHop.has(name) || name === 'host' || name === 'expect' || named.has(name);
}

function pushForwarded(
  headers: string[],
  authority: Authority,
  client: ClientFacts,
  trusted: Map<string, string>,
): void {
  const append = (name: string, value: string) => {
    const before = trusted.get(name);
    headers.push(name, before === undefined ? value : `${before}, ${value}`);
  };
  append('x-forwarded-for', client.address);
  headers.push('x-forwarded-proto', trusted.get('x-forwarded-proto') ?? 'https');
  headers.push('x-forwarded-host', trusted.get('x-forwarded-host') ?? authority.text);
  headers.push('x-forwarded-port', trusted.get('x-forwarded-port') ?? String(authority.port ?? 443));
  // RFC 7239 §4 and §6: an IPv6 address stands in brackets, and what holds a colon is quoted.
  const node = isIPv6(client.address) ? `"[${client.address}]"` : client.address;
  append('forwarded', `for=${node};host=${quoted(authority.text)};proto=https`);
}

function quoted(text: string): string {
  return /^[!#$%&'*+.^_`|~0-9a-z-]+$/i.test(text) ? text : `"${text.replace(/["\\]/g, '\\$&')}"`;
}

/** Edits the fields of a response: hop-by-hop ones out. @param received names and values in turn */
export function responseHeaders(received: readonly string[]): string[] {
  const named = connectionOptions(received);
  const headers: string[] = [];
  for (let i = 0; i < received.length; i += 2) {
    const name = received[i] ?? '';
    const lower = name.toLowerCase();
    if (!hopByHop.has(lower) && !named.has(lower)) headers.push(name, received[i + 1] ?? '');
  }
  return headers;
}

/** Fields as undici hands them over: buffers, names and values in turn; each byte one character (RFC 9110 §5.5). */
export function decodeFields(raw: unknown): string[] {
  return Array.isArray(raw) ? raw.map((part) => (Buffer.isBuffer(part) ? part.toString('latin1') : String(part))) : [];
}
