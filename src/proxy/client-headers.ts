import type { X509Certificate } from 'node:crypto';
import { alternativeNames } from '../certificates/index.ts';

/** The fields that tell upstream who the client is; each left out where it has no name. Lower case. */
export interface ClientHeaderNames {
  /** All of it in one, as Envoy writes `X-Forwarded-Client-Cert`. */
  readonly xfcc?: string | undefined;
  readonly subject?: string | undefined;
  readonly names?: string | undefined;
  readonly fingerprint?: string | undefined;
  readonly serial?: string | undefined;
}

/** @returns names and values in turn, for a client whose certificate was verified */
export function clientHeaders(certificate: X509Certificate, names: ClientHeaderNames): readonly string[] {
  const known = cache.get(certificate);
  if (known?.names === names) return known.headers;
  const values: Record<keyof ClientHeaderNames, () => string> = {
    xfcc: () => xfccOf(certificate),
    subject: () => subjectOf(certificate),
    names: () =>
      alternativeNames(certificate)
        .map(({ value }) => hexed(escaped(value), /,/g))
        .join(','),
    fingerprint: () => fingerprintOf(certificate),
    serial: () => certificate.serialNumber.toLowerCase(),
  };
  const headers: string[] = [];
  for (const [key, value] of Object.entries(values)) {
    const name = names[key as keyof ClientHeaderNames];
    if (name !== undefined) headers.push(name, value());
  }
  cache.set(certificate, { names, headers });
  return headers;
}

/** One connection sends many requests. */
const cache = new WeakMap<X509Certificate, { names: ClientHeaderNames; headers: readonly string[] }>();

/**
 * Envoy's format: `Hash=…;Subject="…";URI=…;DNS=…`, semicolons between the parts, what holds a comma, a semicolon or an equals sign in
 * quotes. Readers disagree on backslashes before quotes; so that none of them loses its way, no value has a quote inside.
 */
function xfccOf(certificate: X509Certificate): string {
  const names = alternativeNames(certificate);
  const of = (wanted: string) =>
    names.filter(({ type }) => type === wanted).map(({ value }) => `${wanted}=${quotedWhereNeeded(escaped(value))}`);
  const parts = [`Hash=${fingerprintOf(certificate)}`, `Subject="${subjectOf(certificate)}"`];
  return [...parts, ...of('URI'), ...of('DNS')].join(';');
}

function fingerprintOf(certificate: X509Certificate): string {
  return certificate.fingerprint256.replaceAll(':', '').toLowerCase();
}

/**
 * The most specific part first, separated by commas (RFC 4514 §2.1). Node gives lines, the most general first, with pluses between
 * spaces, escaped otherwise; quotes and backslashes become hex pairs, which is the other way to escape them (§2.4).
 */
function subjectOf(certificate: X509Certificate): string {
  const parts = (certificate.subject ?? '').split('\n').reverse().join(',').replaceAll(' + ', '+');
  return hexed(hexed(parts, /\\["\\]/g, 1), /[^ -~]/gu);
}

/** A name as a field can hold it: of printable ASCII without blanks, quotes and backslashes. Node gives its bytes as characters. */
function escaped(name: string): string {
  return hexed(name, /[^!-~]|["\\]/gu, 0, /[^\0-\xff]/.test(name) ? 'utf8' : 'latin1');
}

/** @param from where in each match the characters begin that become hex pairs (RFC 4514 §2.4) */
function hexed(text: string, what: RegExp, from = 0, encoding: 'utf8' | 'latin1' = 'utf8'): string {
  const pairs = (match: string) => [...Buffer.from(match.slice(from), encoding)].map(hexPair).join('');
  return text.replace(what, pairs);
}

function hexPair(byte: number): string {
  return `\\${byte.toString(16).padStart(2, '0').toUpperCase()}`;
}

function quotedWhereNeeded(text: string): string {
  return /[,;=]/.test(text) ? `"${text}"` : text;
}
