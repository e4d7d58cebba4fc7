import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';

/**
 * Whether a request may change something: it comes from this machine or bears the token, and no web page can have sent it.
 * @param token null when none is configured
 */
export function mayChange(request: IncomingMessage, token: string | null): boolean {
  const bearer = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1];
  const known = token !== null && bearer !== undefined && sameText(bearer, token);
  if (request.headers.origin !== undefined) return false;
  // A page does not know the token, so under it any name will do: other machines use that of a service.
  return known || (isLoopback(request.socket.remoteAddress ?? '') && isLocalName(request.headers.host ?? ''));
}

function isLoopback(address: string): boolean {
  return address === '::1' || address.startsWith('127.') || address.startsWith('::ffff:127.');
}

/** A page of another site reaches a loopback address only under a name of its own (DNS rebinding); no such name passes. */
function isLocalName(host: string): boolean {
  const name = host.replace(/:\d+$/, '');
  return name === 'localhost' || isIP(name.replace(/^\[|\]$/g, '')) !== 0;
}

function sameText(a: string, b: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}
