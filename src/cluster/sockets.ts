import { lookup } from 'node:dns/promises';
import * as net from 'node:net';
import { getSystemErrorName } from 'node:util';
import { isWithoutIpv6, type ListenAddress, listenError } from '../tls/index.ts';

/** A bound socket of the primary, which workers accept on. */
export interface BoundSocket {
  /** With the port that was given. */
  readonly address: ListenAddress;
  /** What is sent along to a worker. */
  readonly handle: object;
  close(): void;
}

/** What Node.js keeps of a TCP socket. */
interface Handle {
  getsockname(out: { port?: number }): number;
  close(): void;
}

/**
 * `net` makes the sockets that the primary of node:cluster shares by a function without a public name. `net.BoundSocket` has one, but cannot
 * be sent to another process. A test notices should either change.
 */
const { _createServerHandle: createServerHandle } = net as unknown as {
  _createServerHandle(host: string, port: number, family: number): Handle | number;
};

/**
 * Binds an address without accepting anything: that is up to the workers, which get the socket. The queue of connections belongs to the
 * socket, so it outlives every worker. Where the system has no IPv6, `::` becomes `0.0.0.0`.
 * @throws SwivelError LISTEN_FAILED
 */
export async function bind(address: ListenAddress): Promise<BoundSocket> {
  try {
    const { address: host, family } = await lookup(address.host);
    const handle = createServerHandle(host, address.port, family);
    if (typeof handle === 'number') throw systemError(handle);
    const name: { port?: number } = {};
    // An address in use is not always told before this.
    const error = handle.getsockname(name);
    if (error !== 0) {
      handle.close();
      throw systemError(error);
    }
    return {
      address: { host: address.host, port: name.port ?? address.port },
      handle,
      close: () => handle.close(),
    };
  } catch (error) {
    if (isWithoutIpv6(address, error)) return bind({ ...address, host: '0.0.0.0' });
    throw listenError(address, error);
  }
}

function systemError(number: number): Error {
  const code = getSystemErrorName(number);
  return Object.assign(new Error(code), { code });
}
