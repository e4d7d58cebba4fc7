import { createSecureContext, type SecureContext, type SecureVersion } from 'node:tls';

/** The client's side of handshakes that Swivel makes with itself. */
export interface ClientContextOptions {
  readonly version?: SecureVersion;
  readonly ciphers?: string;
}

const contexts = new Map<string, SecureContext>();

/** A context for clients, made once for the same options: it loads the root certificates, which takes as long as a handshake. */
export function clientContext({ version, ciphers }: ClientContextOptions): SecureContext {
  const key = `${version} ${ciphers}`;
  let context = contexts.get(key);
  if (!context) {
    context = createSecureContext({
      // Nobody listens in: the first one is the cheapest, and the others stand in where it is not allowed.
      ecdhCurve: 'P-256:X25519:P-384:P-521',
      ...(version === undefined ? {} : { minVersion: version, maxVersion: version }),
      // The listener may be told to use what a client does not offer of itself.
      ...(ciphers === undefined ? {} : { ciphers }),
    });
    contexts.set(key, context);
  }
  return context;
}
