import { isIPv6 } from 'node:net';
import type { ClientCertificate } from '../connections/index.ts';
import { FieldText } from '../http1/index.ts';
import type { Authority } from './authority.ts';
import { clientHeaders } from './client-headers.ts';
import { type FieldNames, hopByHop, type OwnNames } from './field-names.ts';
import type { ClientFacts } from './request.ts';

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

export interface ForwardingOptions extends OwnNames {
  /** Whether a peer's own `X-Forwarded-*`, `Forwarded` and `X-Request-Id` are believed. */
  readonly trusts: (address: string) => boolean;
}

/** @param name lower case */
export function hasField(headers: readonly string[], name: string): boolean {
  for (let i = 0; i < headers.length; i += 2) {
    const field = headers[i] as string;
    if (field.length === name.length && field.toLowerCase() === name) return true;
  }
  return false;
}

const nothing: ReadonlySet<string> = new Set();

/** The names listed in `Connection`, lower case. */
export function connectionOptions(headers: readonly string[]): ReadonlySet<string> {
  let names: Set<string> | null = null;
  for (let i = 0; i < headers.length; i += 2) {
    const field = headers[i] as string;
    if (field.length !== 10 || field.toLowerCase() !== 'connection') continue;
    names ??= new Set();
    for (const name of (headers[i + 1] ?? '').split(',')) names.add(name.trim().toLowerCase());
  }
  return names ?? nothing;
}

/** What the fields of a request say, sorted by what they mean to a proxy. */
export interface ReadFields {
  hosts: number;
  host: string | undefined;
  lengths: number;
  length: string;
  encodings: number;
  encoding: string;
  expect: string | undefined;
  /** What is passed on as it is, behind a place for Host. */
  readonly passed: string[];
  readonly cookies: string[];
  /** By lower-case name; null when there is none. */
  claims: Map<string, string> | null;
  /** The client understands trailers (RFC 9110 §10.1.4). */
  trailers: boolean;
}

/** Reads the fields of a request, in one pass. @param received names and values in turn */
export function readFields(received: readonly string[], names: FieldNames): ReadFields {
  const fields: ReadFields = {
    hosts: 0,
    host: undefined,
    lengths: 0,
    length: '',
    encodings: 0,
    encoding: '',
    expect: undefined,
    passed: ['host', ''],
    cookies: [],
    claims: null,
    trailers: false,
  };
  let named: ReadonlySet<string> = nothing;
  for (let i = 0; i < received.length; i += 2) {
    const name = received[i] as string;
    if (name.length !== 10 || names.kindOf(name) !== 'connection') continue;
    if (!isUsual(received[i + 1] as string)) named = namedBy(received);
  }
  for (let i = 0; i < received.length; i += 2) {
    const name = received[i] as string;
    const value = received[i + 1] as string;
    const kind = names.kindOf(name);
    // What says how the message is framed, or where it goes, is read whoever names it.
    if (named !== nothing && (kind === 'own' || kind === 'claim' || kind === 'cookie') && named.has(name.toLowerCase()))
      continue;
    switch (kind) {
      case 'own':
        fields.passed.push(name, value);
        break;
      case 'host':
        fields.hosts += 1;
        fields.host = value.trim();
        break;
      case 'content-length':
        fields.lengths += 1;
        fields.length = value.trim();
        break;
      case 'transfer-encoding':
        fields.encodings += 1;
        fields.encoding = value.trim().toLowerCase();
        break;
      case 'expect':
        fields.expect = value.trim().toLowerCase();
        break;
      case 'te':
        if (/(^|,)\s*trailers\s*(,|;|$)/i.test(value)) fields.trailers = true;
        break;
      case 'cookie':
        fields.cookies.push(value);
        break;
      case 'claim':
        claim(fields, name.toLowerCase(), value);
        break;
      default:
    }
  }
  return fields;
}

/** Whether a value of `Connection` names no field. */
function isUsual(value: string): boolean {
  return value === 'keep-alive' || value === 'close';
}

/** The fields that `Connection` names, beside what every proxy knows of it. */
function namedBy(received: readonly string[]): ReadonlySet<string> {
  const names = new Set(connectionOptions(received));
  for (const usual of ['close', 'keep-alive', '']) names.delete(usual);
  return names.size === 0 ? nothing : names;
}

function claim(fields: ReadFields, name: string, value: string): void {
  fields.claims ??= new Map();
  const before = fields.claims.get(name);
  fields.claims.set(name, before === undefined ? value : `${before}, ${value}`);
}

/** The fields of a request as they go upstream, but for its id. */
export interface SentFields {
  readonly text: FieldText;
  /** The id that a trusted peer gave to the request; null when it gets one of ours. */
  readonly requestId: string | null;
  /** What they were made of, beside what was received. */
  readonly certificate: ClientFacts['certificate'];
  readonly admitted: ClientCertificate | null;
  readonly length: string;
}

/**
 * Edits the fields of a request: hop-by-hop ones out, Host and the forwarding ones in, cookie crumbs joined (RFC 9113 §8.2.3).
 * @param fields what was received
 * @param length what is told of the length of the body: octets, `chunked`, or nothing when empty
 */
export function sentFields(
  fields: ReadFields,
  authority: Authority,
  client: ClientFacts,
  options: ForwardingOptions,
  admitted: ClientCertificate | null,
  length: string,
): SentFields {
  const headers = [...fields.passed];
  headers[1] = authority.text;
  if (fields.cookies.length > 0) headers.push('cookie', fields.cookies.join('; '));
  // Says only that trailers are understood; it is answered for, not passed through (RFC 9110 §10.1.4).
  if (fields.trailers) headers.push('te', 'trailers');
  const claims = fields.claims && options.trusts(client.address) ? fields.claims : null;
  const route = routeOf(client.address, authority);
  if (claims) pushClaimed(headers, route, claims);
  else {
    const { address, host, port, forwarded } = route;
    headers.push('x-forwarded-for', address, 'x-forwarded-proto', 'https', 'x-forwarded-host', host);
    headers.push('x-forwarded-port', port, 'forwarded', forwarded);
  }
  if (options.certificateHeader !== null) {
    headers.push(options.certificateHeader, `${client.certificate.id} ${client.certificate.fingerprint256}`);
  }
  const leaf = admitted?.chain[0];
  if (leaf) headers.push(...clientHeaders(leaf, options.clientHeaders));
  if (length === 'chunked') headers.push('transfer-encoding', length);
  else if (length !== '') headers.push('content-length', length);
  const requestId = claims?.get('x-request-id') ?? null;
  return { text: new FieldText(headers), requestId, certificate: client.certificate, admitted, length };
}

/** What Swivel says of the way a request took. */
interface Route {
  readonly address: string;
  readonly host: string;
  readonly port: string;
  readonly forwarded: string;
}

/** By host as the client wrote it, for the address that was asked for last: requests of one connection follow each other. */
const routes = { address: '', host: '', route: { address: '', host: '', port: '', forwarded: '' } as Route };

function routeOf(address: string, authority: Authority): Route {
  if (routes.address === address && routes.host === authority.text) return routes.route;
  // RFC 7239 §4 and §6: an IPv6 address stands in brackets, without its zone, and what holds a colon is quoted.
  const node = isIPv6(address) ? `"[${address.replace(/%.*/, '')}]"` : address;
  const forwarded = `for=${node};host=${quoted(authority.text)};proto=https`;
  routes.address = address;
  routes.host = authority.text;
  routes.route = { address, host: authority.text, port: String(authority.port ?? 443), forwarded };
  return routes.route;
}

function pushClaimed(headers: string[], route: Route, claims: ReadonlyMap<string, string>): void {
  const append = (name: string, value: string) => {
    const before = claims.get(name);
    headers.push(name, before === undefined ? value : `${before}, ${value}`);
  };
  append('x-forwarded-for', route.address);
  const ours = { 'x-forwarded-proto': 'https', 'x-forwarded-host': route.host, 'x-forwarded-port': route.port };
  for (const [name, value] of Object.entries(ours)) headers.push(name, claims.get(name) ?? value);
  append('forwarded', route.forwarded);
  for (const [name, value] of claims) {
    if (!(name in ours) && name.startsWith('x-') && name !== 'x-forwarded-for' && name !== 'x-request-id') {
      headers.push(name, value);
    }
  }
}

function quoted(text: string): string {
  return /^[!#$%&'*+.^_`|~0-9a-z-]+$/i.test(text) ? text : `"${text.replace(/["\\]/g, '\\$&')}"`;
}

/** The first letters, lower case, of the fields of a response that are not simply passed on, by the lengths of their names. */
const notable: readonly (readonly number[])[] = initialsOf([...hopByHop, 'x-request-id']);

function initialsOf(names: readonly string[]): number[][] {
  const byLength: number[][] = Array.from({ length: 32 }, () => []);
  for (const name of names) byLength[name.length]?.push(name.charCodeAt(0));
  return byLength;
}

/**
 * Edits the fields of a response: hop-by-hop ones out, the id of the request in.
 * @param received names and values in turn
 * @param requestId what was sent upstream; an upstream that answers with it, or with one of its own, does not make it two
 */
export function responseHeaders(received: readonly string[], requestId?: string): string[] {
  let named = nothing;
  const headers: string[] = [];
  for (let i = 0; i < received.length; i += 2) {
    const name = received[i] as string;
    // Most fields are known by that to be the application's own.
    if (notable[name.length]?.includes(name.charCodeAt(0) | 0x20)) {
      const lower = name.toLowerCase();
      if (lower === 'connection' && !isUsual(received[i + 1] as string)) named = namedBy(received);
      if (hopByHop.has(lower) || (lower === 'x-request-id' && requestId !== undefined)) continue;
    }
    headers.push(name, received[i + 1] as string);
  }
  const edited = named === nothing ? headers : without(headers, named);
  if (requestId !== undefined) edited.push('x-request-id', requestId);
  return edited;
}

function without(headers: readonly string[], names: ReadonlySet<string>): string[] {
  return headers.filter((_, i) => !names.has((headers[i - (i % 2)] as string).toLowerCase()));
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
