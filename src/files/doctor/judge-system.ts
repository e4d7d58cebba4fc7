import { type Finding, finding } from '../../errors.ts';
import type { DatedCertificate, InotifyLimits } from './facts.ts';

/** Of the watches that a user may have, the share that may be used here: the limit holds for all processes of the user together. */
const shareOfWatches = 0.5;
/** Instances that a user should be allowed: one for this process, the rest for whatever else the user runs. */
const fewestInstances = 16;
/** Milliseconds by which clocks may differ without being called wrong. */
const tolerance = 5_000;
/** Milliseconds; a certificate that was issued for later than that was meant for later. */
const longestSkew = 86_400_000;

/** INOTIFY_LIMIT. Pure. @param directories how many are watched */
export function judgeLimits({ watches, instances }: InotifyLimits, directories: number): Finding[] {
  const findings: Finding[] = [];
  const found = (message: string) => findings.push(finding('INOTIFY_LIMIT', 'warning', { message }));
  if (watches !== null && directories > watches * shareOfWatches) {
    found(
      `${directories} directories of certificates are to be watched, and the system allows the user ${watches} watches`,
    );
  }
  if (instances !== null && instances < fewestInstances) {
    found(`the system allows the user only ${instances} inotify instances, for all processes together`);
  }
  return findings;
}

/**
 * CLOCK_SKEW: a certificate that begins later than its file was written, and has not begun yet. An authority dates a certificate
 * at the moment of issue or before, so the file of one is written after it begins, unless the clock is slow. Pure.
 * @param now milliseconds since 1970
 */
export function judgeClock(certificates: readonly DatedCertificate[], now: number): Finding[] {
  const unique = new Map(certificates.map((one) => [one.file, one]));
  return [...unique.values()].flatMap(({ file, notBefore, modified }) => {
    const ahead = notBefore - modified;
    if (notBefore <= now || ahead <= tolerance || ahead >= longestSkew) return [];
    const begins = new Date(notBefore).toISOString();
    const message = `${file} was written ${Math.round(ahead / 1000)} s before its certificate is valid (from ${begins}): the clock of this machine may be slow`;
    return [finding('CLOCK_SKEW', 'warning', { file, message })];
  });
}
