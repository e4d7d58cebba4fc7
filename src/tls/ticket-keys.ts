import { randomBytes } from 'node:crypto';

/**
 * Makes session ticket keys: 48 bytes, as `tls.Server` takes them. Held explicitly, because a renewed default context would
 * otherwise come with keys of its own, and every session would be lost with every rotation.
 */
export function createTicketKeys(): Buffer {
  return randomBytes(48);
}
