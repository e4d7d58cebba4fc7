import type { Config } from '../config/index.ts';
import { type ClientRule, ClientRules, type FrontDoorOptions, openToAll } from '../proxy/index.ts';
import type { ActivationOptions } from '../rotation/index.ts';
import type { ContextStoreOptions, TlsOptionsOfListener } from '../tls/index.ts';

/** The slices of a configuration that the rooms are given. */

/** What those who serve need to know: nothing of where certificates come from. */
export type PlaneConfig = Pick<
  Config,
  'listeners' | 'upstreams' | 'routes' | 'tls' | 'rotation' | 'drain' | 'proxy' | 'log'
>;

export function planeConfig(config: Config): PlaneConfig {
  const { listeners, upstreams, routes, tls, rotation, drain, proxy, log } = config;
  return { listeners, upstreams, ...(routes ? { routes } : {}), tls, rotation, drain, proxy, log };
}

export function storeOptions({ tls, rotation }: Pick<Config, 'tls' | 'rotation'>): ContextStoreOptions {
  const { unknownName, defaultCertificate, minVersion, ciphers } = tls;
  return {
    unknownName,
    ...(defaultCertificate === undefined ? {} : { defaultCertificate }),
    canaryShare: rotation.canary?.share ?? 0,
    rehearsal: { minVersion, ...(ciphers === undefined ? {} : { ciphers }) },
  };
}

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

export function listenerOptions({ tls }: Pick<Config, 'tls'>, rules: ClientRules): TlsOptionsOfListener {
  const { minVersion, ciphers, handshakeTimeout, sessionTimeout } = tls;
  return {
    minVersion,
    ...(ciphers === undefined ? {} : { ciphers }),
    handshakeTimeout,
    sessionTimeout,
    requestsClientCertificates: rules.asks,
  };
}

export function doorOptions({ proxy, routes, log }: Pick<Config, 'proxy' | 'routes' | 'log'>): FrontDoorOptions {
  const { certificateHeader, clientCertificateHeaders, ...rest } = proxy;
  return {
    ...rest,
    routes: (routes ?? []).map(({ upstream, hosts, path }) => ({
      upstream,
      ...(hosts ? { hosts } : {}),
      ...(path === undefined ? {} : { path }),
    })),
    certificateHeader: certificateHeader ?? null,
    clientHeaders: clientCertificateHeaders,
    access: log.access,
  };
}

/** Whom a listener lets in. */
export function clientRules({ clientCertificates }: Config['listeners'][number]): ClientRules {
  if (!clientCertificates) return openToAll;
  const { hosts, ...fallback } = clientCertificates;
  return new ClientRules({
    fallback: ruleOf(fallback),
    hosts: new Map(Object.entries(hosts).map(([name, rule]) => [name, ruleOf(rule)])),
  });
}

/** Configuration is checked: who asks for certificates names a bundle. */
function ruleOf({ mode, trust }: { mode: ClientRule['mode']; trust?: string | undefined }): ClientRule {
  return mode === 'off' ? { mode } : { mode, trust: trust ?? '' };
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
