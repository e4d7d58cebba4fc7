import type { X509Certificate } from 'node:crypto';

/** The names of a certificate, as they are matched against a server name. */
export interface CertificateNames {
  readonly names: readonly string[];
  /** Names that can never match (RFC 9525 §6.3). */
  readonly unusable: readonly string[];
}

const label = /^[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?$/;

/** A host name as it is compared: lower case, without trailing dot (RFC 6066 §3, RFC 9525 §6.3). */
export function normalizeName(name: string): string {
  const lower = name.toLowerCase();
  return lower.endsWith('.') ? lower.slice(0, -1) : lower;
}

/** Whether a name can be served: a host name, or a wildcard that is the whole first label above two others. */
export function isServableName(name: string): boolean {
  if (name.length === 0 || name.length > 253) return false;
  const labels = name.split('.');
  const wildcard = labels[0] === '*';
  if (wildcard && labels.length < 3) return false;
  return labels.slice(wildcard ? 1 : 0).every((part) => part.length <= 63 && label.test(part));
}

/** The DNS names in the subjectAltName. The common name does not count (RFC 9525 §2). */
export function namesOf(certificate: X509Certificate): CertificateNames {
  const names: string[] = [];
  const unusable: string[] = [];
  for (const entry of splitAltNames(certificate.subjectAltName ?? '')) {
    if (!entry.startsWith('DNS:')) continue;
    const name = normalizeName(unquote(entry.slice(4)));
    if (!isServableName(name)) unusable.push(name);
    else if (!names.includes(name)) names.push(name);
  }
  return { names, unusable };
}

/** Whether one of a certificate's names covers a host, both normalised. */
export function coversHost(names: readonly string[], host: string): boolean {
  if (names.includes(host)) return true;
  const dot = host.indexOf('.');
  return dot > 0 && names.includes(`*${host.slice(dot)}`);
}

/** One entry of the subjectAltName (RFC 5280 §4.2.1.6), under the name that OpenSSL gives its kind: `DNS`, `URI`, `IP Address`, `email`. */
export interface AlternativeName {
  readonly type: string;
  readonly value: string;
}

/** Every entry of the subjectAltName, as written. */
export function alternativeNames(certificate: X509Certificate): AlternativeName[] {
  return splitAltNames(certificate.subjectAltName ?? '').map((entry) => {
    const colon = entry.indexOf(':');
    return { type: entry.slice(0, colon), value: unquote(entry.slice(colon + 1)) };
  });
}

/** Node writes `DNS:a.test, DNS:"odd, one"`: entries with special characters are quoted as JSON. */
function splitAltNames(text: string): string[] {
  return text.match(/[A-Za-z ]+:(?:"(?:[^"\\]|\\.)*"|[^,]*)/g)?.map((entry) => entry.trimStart()) ?? [];
}

function unquote(text: string): string {
  if (!text.startsWith('"')) return text;
  try {
    return String(JSON.parse(text));
  } catch {
    return text;
  }
}
