import { expiryLead, type ValidatedIdentity, validityOf } from '../certificates/index.ts';
import { type Finding, finding } from '../errors.ts';

const units = { d: 24 * 60 * 60 * 1000, h: 60 * 60 * 1000, min: 60 * 1000, s: 1000 };

/**
 * Whether the expiry of a served certificate is to be warned of. A distance that is more than a third of its lifetime says nothing
 * about it: short-lived certificates are renewed late by design.
 * @param distances milliseconds before the expiry
 * @param now milliseconds since 1970
 * @returns the warning of the smallest distance that was crossed
 */
export function expiryWarning({ id, files, leaf }: ValidatedIdentity, distances: readonly number[], now: number) {
  const left = leaf.notAfter - now;
  if (left < 0) return null;
  let distance = Number.POSITIVE_INFINITY;
  for (const one of distances) if (tells(leaf, one) && left <= one && one < distance) distance = one;
  if (distance === Number.POSITIVE_INFINITY) return null;
  const message = `${files.certificate} expires at ${new Date(leaf.notAfter).toISOString()}, in less than ${spanOf(distance)}`;
  return finding('CERT_EXPIRES_SOON', 'warning', { identity: id, file: files.certificate, message }) as Finding;
}

/** When the next warning is due, milliseconds since 1970; infinite when none is. */
export function nextWarning({ leaf }: ValidatedIdentity, distances: readonly number[], now: number): number {
  let next = Number.POSITIVE_INFINITY;
  for (const distance of distances) {
    const at = leaf.notAfter - distance;
    if (at > now && at < next && tells(leaf, distance)) next = at;
  }
  return next;
}

/** When the validity of a certificate changes next, milliseconds since 1970; infinite when it does not. */
export function nextDate({ notBefore, notAfter }: ValidatedIdentity['leaf'], now: number): number {
  const end = notAfter - expiryLead + 1;
  if (notBefore > now) return Math.min(notBefore, end > now ? end : notBefore);
  return end > now ? end : Number.POSITIVE_INFINITY;
}

/**
 * When time alone changes next what is said of a served certificate, milliseconds since 1970; infinite when it does not.
 * @param distances milliseconds before the expiry at which it is warned of
 */
export function nextTurn(identity: ValidatedIdentity, distances: readonly number[], now: number): number {
  return Math.min(nextDate(identity.leaf, now), nextWarning(identity, distances, now));
}

/** Whether a certificate became valid, or expired, between two moments. */
export function isExpiryTurn({ leaf }: ValidatedIdentity, before: number, now: number): boolean {
  return validityOf(leaf, before) !== validityOf(leaf, now);
}

function tells(leaf: ValidatedIdentity['leaf'], distance: number): boolean {
  return distance * 3 <= leaf.notAfter - leaf.notBefore;
}

/** In the largest unit of which there are at least two, so that different distances read differently. */
function spanOf(distance: number): string {
  const [unit, length] = Object.entries(units).find(([, one]) => distance >= 2 * one) ?? ['s', units.s];
  return `${Math.round((distance / length) * 10) / 10} ${unit}`;
}
