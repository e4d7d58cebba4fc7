import { createHash, type X509Certificate } from 'node:crypto';
import type { Socket } from 'node:net';
import { connect, createSecureContext, type SecureContext, type SecureVersion, TLSSocket } from 'node:tls';
import { messageOf, systemCode } from '../errors.ts';
import { rest } from '../pace.ts';
import { clientContext } from './client-context.ts';
import { contextOptions } from './contexts.ts';
import type { Generation, ServedIdentity } from './generation.ts';
import { memoryPair } from './memory-pair.ts';
import { lookUp } from './names.ts';

/** What the listeners use; a rehearsal must meet the same. */
export interface RehearsalOptions {
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3';
  readonly ciphers?: string;
}

/** Names of one certificate that are tried at most; one with thousands would hold up its own rotation. */
const namesTried = 32;
/** Stands for the asterisk of a wildcard. */
const label = 'swivel-rehearsal';
/** Stands for it where the name would become longer than a name may be (RFC 1035 §2.3.4). */
const shortLabel = 's';
const longestName = 253;
/** Handshakes at once: each waits several turns of an event loop that has other things to do. */
const together = 8;
/** Milliseconds one handshake may take; there is no network in it. */
const patience = 5000;

/**
 * Shakes hands in memory with a certificate that is about to be served: for each name that the generation to be gives to it, with every
 * version of TLS that the listeners speak.
 * @returns why it may not be served; null when every handshake showed the right chain
 */
export async function rehearse(
  served: ServedIdentity,
  generation: Generation,
  options: RehearsalOptions,
): Promise<string | null> {
  const versions = versionsOf(options);
  const names = namesToTry(served, generation);
  const trials = names.flatMap((name) => versions.map((version) => ({ name, version })));
  let listening: SecureContext;
  try {
    listening = listenerContext(options, names[0] === null ? served : null);
  } catch (error) {
    return messageOf(error);
  }
  await rest();
  for (let i = 0; i < trials.length; i += together) {
    const some = trials.slice(i, i + together);
    const failures = await Promise.all(some.map((trial) => shakeHands(served, trial, listening, options)));
    const failed = failures.findIndex((failure) => failure !== null);
    const trial = some[failed];
    if (trial) return `${trial.version}${trial.name === null ? '' : ` for ${trial.name}`}: ${failures[failed]}`;
  }
  return null;
}

interface Trial {
  /** Null: the client names no server. */
  readonly name: string | null;
  readonly version: SecureVersion;
}

/** Names by which it will be asked for; without one, it is tried as the default certificate. */
function namesToTry({ identity }: ServedIdentity, { index }: Generation): readonly (string | null)[] {
  const names: string[] = [];
  for (const name of identity.names) {
    if (names.length === namesTried) break;
    const host = name.replace('*', name.length + label.length - 1 > longestName ? shortLabel : label);
    // Another certificate may serve this name. What is on trial has the id of the one that it is to replace.
    const winner = lookUp(index, host);
    if (!winner || winner.identity.id === identity.id) names.push(host);
  }
  return names.length > 0 ? names : [null];
}

/** The versions that the ciphers leave: where only those of TLS 1.3 are listed, Node does not speak TLS 1.2. */
function versionsOf({ minVersion, ciphers }: RehearsalOptions): SecureVersion[] {
  const listed = ciphers?.split(':').filter((cipher) => cipher !== '');
  const older = minVersion === 'TLSv1.2' && (!listed || listed.some((cipher) => !cipher.startsWith('TLS_')));
  return older ? ['TLSv1.3', 'TLSv1.2'] : ['TLSv1.3'];
}

const listenerContexts = new Map<string, SecureContext>();

/**
 * What a listener has of its own. Made once: what clients ask for by name is not in it, for that comes from the callback for names.
 * @param unnamed what clients get that name no server
 * @throws when that cannot be used
 */
function listenerContext(options: RehearsalOptions, unnamed: ServedIdentity | null): SecureContext {
  const { minVersion, ciphers } = options;
  const own = { minVersion, ...(ciphers === undefined ? {} : { ciphers }), honorCipherOrder: true };
  if (unnamed) return createSecureContext({ ...own, ...contextOptions(unnamed.identity, []) });
  const key = `${minVersion} ${ciphers}`;
  const context = listenerContexts.get(key) ?? createSecureContext(own);
  listenerContexts.set(key, context);
  return context;
}

/** @returns what went wrong */
async function shakeHands(
  served: ServedIdentity,
  { name, version }: Trial,
  listening: SecureContext,
  { ciphers }: RehearsalOptions,
): Promise<string | null> {
  const [near, far] = memoryPair();
  const server = new TLSSocket(far as Socket, {
    isServer: true,
    secureContext: listening,
    // Asked for now: meanwhile it may have been given up. What is thrown destroys the socket.
    SNICallback: (_, done) => done(null, served.context),
  });
  const client = connect({
    socket: near,
    ...(name === null ? {} : { servername: name }),
    secureContext: clientContext({ version, ...(ciphers === undefined ? {} : { ciphers }) }),
    // The chain is compared with what it is to be; whom clients trust is their matter.
    rejectUnauthorized: false,
  });
  const timer = setTimeout(() => client.destroy(new Error('the handshake did not end')), patience);
  try {
    return await new Promise<string | null>((resolve) => {
      const failed = (error: Error) => resolve(systemCode(error) ?? error.message);
      server.once('error', failed);
      client.once('error', failed);
      client.once('secureConnect', () => {
        resolve(
          showsChain(client, served.identity.chainPem, served.identity.fingerprint) ? null : 'another chain was shown',
        );
      });
    });
  } finally {
    clearTimeout(timer);
    for (const socket of [client, server]) {
      socket.on('error', () => {});
      socket.destroy();
    }
  }
}

/**
 * Whether a client was shown a chain.
 * @param chainPem what it should be
 * @param fingerprint SHA-256 over all of it, as in ValidatedIdentity
 */
export function showsChain(client: TLSSocket, chainPem: string, fingerprint: string): boolean {
  const hash = createHash('sha256');
  let certificate: X509Certificate | undefined = client.getPeerX509Certificate();
  // No further than what is to be sent: Node goes on with what it knows of authorities itself.
  for (let left = chainPem.split('-----BEGIN ').length - 1; left > 0 && certificate; left -= 1) {
    hash.update(certificate.raw);
    certificate = certificate.issuerCertificate;
  }
  return hash.digest('hex') === fingerprint;
}
