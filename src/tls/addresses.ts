import { isIPv6 } from 'node:net';
import { SwivelError, systemCode } from '../errors.ts';

/** An address to listen on. */
export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/**
 * Parses `[HOST:]PORT`, with IPv6 addresses in brackets.
 * @returns null when it is none
 */
export function parseAddress(text: string, defaultHost: string): ListenAddress | null {
  const match = /^(?:(?:\[([^\]]+)\]|([A-Za-z0-9._-]+)):)?(\d{1,5})$/.exec(text);
  if (!match) return null;
  const port = Number(match[3]);
  if (port > 65535 || (match[1] !== undefined && !isIPv6(match[1]))) return null;
  return { host: match[1] ?? match[2] ?? defaultHost, port };
}

/** Renders an address as `host:port`. */
export function formatAddress({ host, port }: ListenAddress): string {
  return isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`;
}

interface Listenable {
  listen(options: { host: string; port: number }): unknown;
  once(event: string, listener: (error: Error) => void): unknown;
  off(event: string, listener: (error: Error) => void): unknown;
  address(): unknown;
}

/**
 * Listens on an address. Where the system has no IPv6, `::` becomes `0.0.0.0`.
 * @returns the address with the port that was given
 * @throws SwivelError LISTEN_FAILED
 */
export async function listen(server: Listenable, address: ListenAddress): Promise<ListenAddress> {
  try {
    await listenOnce(server, address);
  } catch (error) {
    const code = systemCode(error);
    if (address.host === '::' && (code === 'EAFNOSUPPORT' || code === 'EADDRNOTAVAIL')) {
      return listen(server, { ...address, host: '0.0.0.0' });
    }
    const reason = { EADDRINUSE: 'the port is in use', EACCES: 'the port needs a right that this user lacks' }[
      code ?? ''
    ];
    const message = `cannot listen on ${formatAddress(address)}: ${reason ?? code ?? 'unknown error'}`;
    throw new SwivelError('LISTEN_FAILED', message, { cause: error });
  }
  const bound = server.address() as { port: number };
  return { host: address.host, port: bound.port };
}

function listenOnce(server: Listenable, address: ListenAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (error: Error) => {
      server.off('listening', succeeded);
      reject(error);
    };
    const succeeded = () => {
      server.off('error', failed);
      resolve();
    };
    server.once('error', failed);
    server.once('listening', succeeded);
    server.listen({ host: address.host, port: address.port });
  });
}
