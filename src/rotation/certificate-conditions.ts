import type { Finding } from '../errors.ts';
import type { Conditions } from '../observe/index.ts';
import type { BundleVerdict } from './bundles.ts';
import type { PublishedGeneration } from './publisher.ts';
import type { Verdict } from './types.ts';

/**
 * Brings the conditions about certificates up to date: CertificatesValid, CertificatesFresh, DiskInSync.
 * @param generation what is served
 * @param troubled the verdicts that say of a certificate that not all is well
 * @param sourceFailures what is wrong with whole sources
 */
export function setConditions(
  conditions: Conditions,
  generation: PublishedGeneration,
  troubled: readonly Verdict[],
  trust: readonly BundleVerdict[],
  sourceFailures: readonly Finding[],
): void {
  // One whose names another certificate serves is shown to nobody.
  const shadowed = (id: string) => generation.findings.filter(({ identity }) => identity === id).length;
  const expired = troubled
    .filter(
      ({ id, state, served }) => state === 'expired' && (!served || shadowed(id) < Math.max(1, served.names.length)),
    )
    .map(({ id }) => id);
  if (generation.served.size === 0) {
    conditions.set('CertificatesValid', false, 'NothingServed', 'no certificate is served');
  } else if (expired.length > 0) {
    conditions.set('CertificatesValid', false, 'Expired', `expired and still served: ${listed(expired)}`);
  } else {
    conditions.set('CertificatesValid', true, 'Valid', 'every served certificate is valid');
  }
  const expiring = troubled.filter(expiresSoon);
  if (expiring.length === 0) conditions.set('CertificatesFresh', true, 'Fresh', 'no certificate expires soon');
  else {
    const message = `expire soon: ${listed(expiring.map(({ id }) => id))}`;
    conditions.set('CertificatesFresh', false, 'ExpiringSoon', message);
  }
  const wrong = troubled.filter((verdict) => verdict.error !== null).map((verdict) => verdict.id);
  for (const { id, error } of trust) if (error) wrong.push(id);
  const failures = sourceFailures.map((failure) => failure.message);
  if (wrong.length + failures.length === 0) {
    conditions.set('DiskInSync', true, 'InSync', 'what is on disk is served');
  } else {
    const message = [...failures, ...(wrong.length > 0 ? [`not served as on disk: ${listed(wrong)}`] : [])].join('; ');
    conditions.set('DiskInSync', false, 'Rejected', message);
  }
}

/** Whether it is a warning that the certificate expires soon. */
export function expiresSoon({ warnings }: Verdict): boolean {
  return warnings.some(({ code }) => code === 'CERT_EXPIRES_SOON');
}

function listed(ids: readonly string[]): string {
  return ids.length <= 5 ? ids.join(', ') : `${ids.slice(0, 5).join(', ')} and ${ids.length - 5} more`;
}
