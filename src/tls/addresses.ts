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
  listen(options: { host: string; port: number } | object): unknown;
  once(event: string, listener: (error: Error) => void): unknown;
  off(event: string, listener: (error: Error) => void): unknown;
  address(): unknown;
}

/**
 * Listens on an address. Where the system has no IPv6, `::` becomes `0.0.0.0`.
 * @param socket bound to that address, when there is one already
 * @returns the address with the port that was given
 * @throws SwivelError LISTEN_FAILED
 */
export async function listen(server: Listenable, address: ListenAddress, socket?: object): Promise<ListenAddress> {
  try {
    await listenOnce(server, socket ?? { host: address.host, port: address.port });
  } catch (error) {
    if (isWithoutIpv6(address, error)) return listen(server, { ...address, host: '0.0.0.0' });
    throw listenError(address, error);
  }
  const bound = server.address() as { port: number };
  return { host: address.host, port: bound.port };
}

/** Whether an address failed because the system has no IPv6, and IPv4 would do. */
export function isWithoutIpv6({ host }: ListenAddress, error: unknown): boolean {
  const code = systemCode(error);
  return host === '::' && (code === 'EAFNOSUPPORT' || code === 'EADDRNOTAVAIL');
}

/** Why an address cannot be listened on. */
export function listenError(address: ListenAddress, error: unknown): SwivelError {
  const code = systemCode(error);
  const reason = { EADDRINUSE: 'the port is in use', EACCES: 'the port needs a right that this user lacks' }[
    code ?? ''
  ];
  const message = `cannot listen on ${formatAddress(address)}: ${reason ?? code ?? 'unknown error'}`;
  return new SwivelError('LISTEN_FAILED', message, { cause: error });
}

function listenOnce(server: Listenable, where: object): Promise<void> {
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
    server.listen(where);
  });
}
