import { type ValidatedIdentity, validityOf } from '../certificates/index.ts';
import { type Finding, finding } from '../errors.ts';

const day = 24 * 60 * 60 * 1000;

/**
 * Whether the expiry of a served certificate is to be warned of. A distance that is more than a third of its lifetime says nothing
 * about it: short-lived certificates are renewed late by design.
 * @param distances milliseconds before the expiry
 * @param now milliseconds since 1970
 * @returns the warning of the smallest distance that was crossed
 */
export function expiryWarning({ id, files, leaf }: ValidatedIdentity, distances: readonly number[], now: number) {
  const left = leaf.notAfter - now;
  const crossed = telling(leaf, distances).filter((distance) => left <= distance);
  if (left < 0 || crossed.length === 0) return null;
  const distance = Math.min(...crossed);
  const span = distance >= day ? `${Math.round(distance / day)} d` : `${Math.round(distance / 60_000)} min`;
  const message = `${files.certificate} expires at ${new Date(leaf.notAfter).toISOString()}, in less than ${span}`;
  return finding('CERT_EXPIRES_SOON', 'warning', { identity: id, file: files.certificate, message }) as Finding;
}

/** When the next warning is due, milliseconds since 1970; infinite when none is. */
export function nextWarning({ leaf }: ValidatedIdentity, distances: readonly number[], now: number): number {
  const turns = telling(leaf, distances).map((distance) => leaf.notAfter - distance);
  return Math.min(...turns.filter((at) => at > now));
}

/** Whether a certificate became valid, or expired, between two moments. */
export function isExpiryTurn({ leaf }: ValidatedIdentity, before: number, now: number): boolean {
  return validityOf(leaf, before) !== validityOf(leaf, now);
}

function telling(leaf: ValidatedIdentity['leaf'], distances: readonly number[]): number[] {
  return distances.filter((distance) => distance * 3 <= leaf.notAfter - leaf.notBefore);
}
