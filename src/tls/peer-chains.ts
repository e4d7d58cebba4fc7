import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';

interface Handle {
  getPeerX509Certificate(): unknown;
}

let keeping = false;

/**
 * Lets `getPeerX509Certificate` of every TLS socket tell the whole chain of the peer each time. In Node the first call empties what OpenSSL
 * holds of it, and since 24.21 and 26.8 that first call is Node's own, when the certificate was found good (nodejs/node#65579): of a client
 * that sends intermediates there would be left the leaf, which leads nowhere. There is no public way to call before Node. Idempotent.
 */
export function keepPeerChains(): void {
  if (keeping) return;
  keeping = true;
  const probe = new TLSSocket(new Duplex({ read() {}, write() {} }) as Socket, { isServer: true });
  probe.on('error', () => {});
  const prototype = Object.getPrototypeOf((probe as TLSSocket & { _handle: Handle })._handle) as Handle;
  probe.destroy();
  const ask = prototype.getPeerX509Certificate;
  const answers = new WeakMap<Handle, unknown>();
  prototype.getPeerX509Certificate = function (this: Handle) {
    const answer = answers.get(this) ?? ask.call(this);
    if (answer) answers.set(this, answer);
    return answer;
  };
}
