import { isIPv6 } from 'node:net';
import { normalizeName } from '../certificates/index.ts';

/** Where a request wants to go. */
export interface Authority {
  /** As the client wrote it; what goes upstream as Host. */
  readonly text: string;
  /** Lower case, without port and trailing dot. */
  readonly host: string;
  readonly port: number | null;
}

// uri-host [ ":" port ] (RFC 9110 §7.2). Of all that RFC 3986 §3.2.2 lets a registered name hold, only what DNS and its users know:
// an upstream that splits at a comma or unescapes a percent sign would see another host than the one that was routed.
const pattern = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?))(?::([0-9]{0,5}))?$/i;

/**
 * Parses the value of a Host field.
 * @returns null when it is empty or malformed
 */
export function parseAuthority(text: string): Authority | null {
  if (last?.text === text) return last;
  const authority = parse(text);
  if (authority) last = authority;
  return authority;
}

/** Requests that follow each other mostly ask for the same. */
let last: Authority | null = null;

function parse(text: string): Authority | null {
  const match = pattern.exec(text);
  if (!match) return null;
  const [, address, name = '', digits] = match;
  if (address !== undefined && !isIPv6(address)) return null;
  const port = digits ? Number(digits) : null;
  if (port !== null && port > 65535) return null;
  return { text, host: address?.toLowerCase() ?? normalizeName(name), port };
}
