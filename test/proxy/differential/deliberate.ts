/**
 * Requests that the two paths treat differently, on purpose, by the name of the case; each with the reason. Whatever is not here is treated
 * the same, or refused by both.
 */
export const deliberate: ReadonlyMap<string, string> = new Map([
  ['bodies: a size of 40 digits', 'the fast path reads sizes of 33 digits at most: nobody needs so many zeros'],
  [
    'bodies: a trailer that is large',
    'Node counts trailers into the limit of the head; the fast path has 16 KiB for them',
  ],
  ['bodies: a trailer that is too large', 'the same: 431 by node:http, 413 by the fast path'],
  [
    'fields: Upgrade',
    'when pipelined: by node:http it would begin before the answers are out, so the connection is cut; the fast path has answered before it reads on',
  ],
]);

/** Responses that clients get though Node's own client would not read them, by the name of the case. */
export const readAnyway: ReadonlyMap<string, string> = new Map([
  [
    'trailers that frame',
    'what may not stand in trailers is dropped (RFC 9110 §6.5.1), and the body is known to be complete',
  ],
]);

/** Cases that bring the ordinary path down, so that there is nothing to compare; each with what is wrong. To be taken out with what it names. */
export const unsolved: ReadonlyMap<string, string> = new Map();
