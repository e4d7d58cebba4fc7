import { z } from 'zod';
import { isServableName, normalizeName } from '../certificates/index.ts';
import { parseAddress } from '../tls/index.ts';
import { durationPattern, parseDuration, parseSize, sizePattern } from './units.ts';

export const durationHint = 'must be a duration such as 500ms, 30s, 5m or 1h';
const sizeHint = 'must be a size such as 64KiB or 1MiB';
export const addressHint = 'must be [HOST:]PORT, such as 8443, 127.0.0.1:8443 or "[::]:8443"';

/** Milliseconds; Node fires a longer timer at once. */
const longestTimer = 2 ** 31 - 1;

export const duration = (fallback: string) =>
  z
    .string(durationHint)
    .regex(durationPattern, durationHint)
    .refine((text) => parseDuration(text) <= longestTimer, 'must not be longer than 596h')
    .default(fallback)
    .transform(parseDuration);

/** A time between two looks: never none at all, which would be an endless loop. */
export const interval = (fallback: string) =>
  z
    .string(durationHint)
    .regex(durationPattern, durationHint)
    .refine((text) => parseDuration(text) >= 10 && parseDuration(text) <= longestTimer, 'must be between 10ms and 596h')
    .default(fallback)
    .transform(parseDuration);

export const size = (fallback: string) =>
  z.string(sizeHint).regex(sizePattern, sizeHint).default(fallback).transform(parseSize);

export const address = (defaultHost: string) =>
  z.string(addressHint).transform((text, context) => {
    const parsed = parseAddress(text, defaultHost);
    if (parsed) return parsed;
    context.addIssue({ code: 'custom', message: addressHint });
    return z.NEVER;
  });

export const hostName = z
  .string()
  .refine((name) => isServableName(normalizeName(name)), 'must be a host name, or a wildcard such as "*.example.com"');

/** A duration of any length: it is counted with the clock, not with one timer. */
export const longDuration = z
  .string(durationHint)
  .regex(durationPattern, durationHint)
  .transform((text) => parseDuration(text));

const rangeHint = 'must be a duration such as 30s, or a range such as 5s-30s';

/** From one duration to another; a single one is from nothing to it. */
export const range = z.string(rangeHint).transform((text, context) => {
  const [first = '', second, ...more] = text.split('-');
  const ends = second === undefined ? ['0s', first] : [first, second];
  const [min = 0, max = 0] = ends.map(parseDuration);
  const good = more.length === 0 && ends.every((end) => durationPattern.test(end)) && min <= max;
  if (good && max <= longestTimer) return { min, max };
  context.addIssue({ code: 'custom', message: rangeHint });
  return z.NEVER;
});

const shareHint = 'must be a percentage such as 10%';

/** A part of a whole, between 0 and 1. */
export const share = z
  .string(shareHint)
  .regex(/^\d{1,2}(\.\d+)?%$/, shareHint)
  .transform((text) => Number.parseFloat(text) / 100);
