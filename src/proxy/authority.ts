import { normalizeName } from '../certificates/index.ts';

/** Where a request wants to go. */
export interface Authority {
  /** As the client wrote it; what goes upstream as Host. */
  readonly text: string;
  /** Lower case, without port and trailing dot. */
  readonly host: string;
  readonly port: number | null;
}

// uri-host [ ":" port ] (RFC 9110 §7.2), with the registered names that DNS and its users know.
const pattern = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._~!$&'()*+,;=%-]+))(?::([0-9]{0,5}))?$/i;

/**
 * Parses the value of a Host field.
 * @returns null when it is empty or malformed
 */
export function parseAuthority(text: string): Authority | null {
  const match = pattern.exec(text);
  if (!match) return null;
  const port = match[3] ? Number(match[3]) : null;
  if (port !== null && port > 65535) return null;
  return { text, host: match[1] ?? normalizeName(match[2] ?? ''), port };
}
