let second = Number.NaN;
let text = '';

/**
 * An instant as RFC 3339 has it, in UTC, with milliseconds: as `Date.prototype.toISOString`, which takes longer than all else that a line of a log needs.
 * @param now milliseconds since 1970
 */
export function instant(now: number): string {
  const milliseconds = now % 1000;
  if (now - milliseconds !== second) {
    second = now - milliseconds;
    text = new Date(second).toISOString().slice(0, -4);
  }
  return `${text}${milliseconds < 10 ? '00' : milliseconds < 100 ? '0' : ''}${milliseconds}Z`;
}
