import type { Config } from '../config/index.ts';
import type { ActivationOptions } from '../rotation/index.ts';

/** The slices of a configuration that the rooms are given. */

export function activationOptions({ gate, rotation, expiry, tls }: Config): ActivationOptions {
  const { anchors, ...policy } = gate;
  return {
    gate: policy,
    ...(anchors === undefined ? {} : { anchors }),
    canary: rotation.canary ?? { share: 0, duration: 0 },
    jitter: rotation.jitter,
    expiryWarnings: expiry.warn,
    ticketKeys: { lifetime: tls.ticketKeyLifetime },
  };
}

/** The conditions that readiness turns on. */
export function readinessConditions({ admin }: Config): string[] {
  const conditions = {
    expired: 'CertificatesValid',
    'out-of-sync': 'DiskInSync',
    expiring: 'CertificatesFresh',
    polling: 'WatchingEvents',
  };
  return ['Serving', ...admin.readiness.map((name) => conditions[name])];
}
