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
        .map(({ value }) => visible(value))
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

/** Envoy's format: `Hash=…;Subject="…";URI=…;DNS=…`, semicolons between the parts. */
function xfccOf(certificate: X509Certificate): string {
  const parts = [`Hash=${fingerprintOf(certificate)}`, `Subject=${quoted(subjectOf(certificate))}`];
  for (const { type, value } of alternativeNames(certificate)) {
    if (type !== 'URI' && type !== 'DNS') continue;
    const text = visible(value);
    parts.push(`${type}=${/[",;=]/.test(text) ? quoted(text) : text}`);
  }
  return parts.join(';');
}

function fingerprintOf(certificate: X509Certificate): string {
  return certificate.fingerprint256.replaceAll(':', '').toLowerCase();
}

/** The most specific part first, separated by commas (RFC 4514 §2.1); Node gives lines, the most general first. */
function subjectOf(certificate: X509Certificate): string {
  return visible((certificate.subject ?? '').split('\n').reverse().join(','));
}

/** As a field value may hold it: what is not printable ASCII as hex pairs (RFC 4514 §2.4). */
function visible(text: string): string {
  return text.replace(/[^\x20-\x7e]/gu, (character) =>
    [...Buffer.from(character)].map((byte) => `\\${byte.toString(16).padStart(2, '0').toUpperCase()}`).join(''),
  );
}

function quoted(text: string): string {
  return `"${text.replace(/["\\]/g, '\\$&')}"`;
}
