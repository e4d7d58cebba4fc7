import { connect } from 'node:tls';
import type { ValidatedIdentity } from '../certificates/index.ts';
import type { ListenAddress } from './addresses.ts';
import { clientContext } from './client-context.ts';
import { showsChain } from './rehearsal.ts';

/** Milliseconds after which a listener that does not answer says nothing either way. */
const patience = 2000;

/**
 * Asks a listener from outside, as a client would.
 * @param address where it listens
 * @param identity what it should show
 * @param name by which the identity is asked for; null for none
 * @returns whether it showed the chain of the identity; null when no handshake came about
 */
export function showsOutside(
  address: ListenAddress,
  identity: ValidatedIdentity,
  name: string | null,
): Promise<boolean | null> {
  return new Promise((resolve) => {
    const client = connect({
      host: reachable(address.host),
      port: address.port,
      ...(name === null ? {} : { servername: name }),
      secureContext: clientContext({}),
      rejectUnauthorized: false,
      ALPNProtocols: ['http/1.1'],
      timeout: patience,
    });
    client.once('secureConnect', () => {
      resolve(showsChain(client, identity.chainPem, identity.fingerprint));
      // Ended, not destroyed: for the listener this was no failed handshake.
      client.resume().end();
    });
    client.once('timeout', () => client.destroy());
    client.on('error', () => client.destroy());
    client.once('close', () => resolve(null));
  });
}

/** An address that means every one is reached on this machine. */
function reachable(host: string): string {
  if (host === '::') return '::1';
  return host === '0.0.0.0' ? '127.0.0.1' : host;
}
