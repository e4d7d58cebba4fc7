import { setTimeout as sleep } from 'node:timers/promises';
import { connect, createSecureContext, type SecureContext } from 'node:tls';
import type { LoadTarget } from './types.ts';

export interface RotationProbe {
  target: LoadTarget;
  /** Fingerprint (lower-case hex without colons) of the certificate that is about to be written. */
  fingerprint256: string;
  /** Makes the change on disk; the clock starts when it has returned, so the last thing it does is the rename. */
  write: () => void | Promise<void>;
  /** What the proxy needs to be told besides (a reload command); runs while handshakes already go on. */
  announce?: () => Promise<void>;
  /** The rotation counts as missed after this time. Default 10 s. */
  timeoutMs?: number;
}

export interface RotationTiming {
  /** Milliseconds from the rename's return to the *completion* of the first handshake with the new certificate. */
  completedMs: number;
  /** The same to the start of that handshake: what is left when the cost of the handshake itself is taken off. */
  startedMs: number;
  /** Handshakes that still got another certificate. */
  oldHandshakes: number;
  /** Handshakes that failed, with their reasons. */
  failedHandshakes: string[];
  /** The new certificate was not seen in time; the two figures are then Infinity. */
  missed: boolean;
}

const LOOPS = 2;
const STAGGER_MS = 1;
const HANDSHAKE_TIMEOUT_MS = 5_000;
/** After this time a rotation is slow anyway, and handshakes back to back would only take its processor away. */
const HURRY_MS = 500;
const RELAXED_PAUSE_MS = 5;

/**
 * Makes a change and measures when it is served: full handshakes with SNI on new connections, two of them in flight
 * and staggered, one after another until one shows the new certificate.
 */
export async function probeRotation(probe: RotationProbe): Promise<RotationTiming> {
  const context = createSecureContext({ ca: probe.target.ca });
  const timeoutMs = probe.timeoutMs ?? 10_000;
  const timing: RotationTiming = {
    completedMs: Number.POSITIVE_INFINITY,
    startedMs: Number.POSITIVE_INFINITY,
    oldHandshakes: 0,
    failedHandshakes: [],
    missed: true,
  };
  await probe.write();
  const renamed = performance.now();
  const elapsed = () => performance.now() - renamed;

  const loop = async (offsetMs: number) => {
    if (offsetMs > 0) await sleep(offsetMs);
    while (timing.missed && elapsed() < timeoutMs) {
      const startedMs = elapsed();
      try {
        const fingerprint = await presentedFingerprint(probe.target, context);
        if (fingerprint !== probe.fingerprint256) timing.oldHandshakes++;
        else if (timing.missed) Object.assign(timing, { completedMs: elapsed(), startedMs, missed: false });
      } catch (error) {
        timing.failedHandshakes.push(error instanceof Error ? error.message : String(error));
        await sleep(RELAXED_PAUSE_MS);
      }
      if (startedMs > HURRY_MS) await sleep(RELAXED_PAUSE_MS);
    }
  };
  const loops = Array.from({ length: LOOPS }, (_, index) => loop(index * STAGGER_MS));
  await Promise.all([probe.announce?.(), ...loops]);
  return timing;
}

/** Fingerprint of the certificate that the target presents to one new connection; rejects if it cannot be verified. */
export function presentedFingerprint(
  target: LoadTarget,
  secureContext: SecureContext = createSecureContext({ ca: target.ca }),
): Promise<string> {
  const { host = '127.0.0.1', port, servername } = target;
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const socket = connect({ host, port, servername, secureContext, ALPNProtocols: ['http/1.1'] });
  socket.setTimeout(HANDSHAKE_TIMEOUT_MS, () => socket.destroy(new Error('handshake timed out')));
  socket.once('secureConnect', () => {
    const fingerprint = socket.getPeerX509Certificate()?.fingerprint256 ?? '';
    resolve(fingerprint.replaceAll(':', '').toLowerCase());
    // A client that leaves without a word would show up in the proxy's logs and error counts.
    socket.end();
  });
  // The listener stays: after the answer, the reset of a connection that is no longer needed is of no interest.
  socket.on('error', reject);
  socket.once('close', () => reject(new Error('closed during the handshake')));
  socket.resume();
  return promise;
}
