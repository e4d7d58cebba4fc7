import type { Config } from '../config/index.ts';
import { type ClientRule, ClientRules, type FrontDoorOptions, openToAll } from '../proxy/index.ts';
import type { ContextStoreOptions, TlsOptionsOfListener } from '../tls/index.ts';
import { demoTarget } from '../upstream/index.ts';

/** What those who serve need to know: nothing of where certificates come from. */
export type PlaneConfig = Pick<
  Config,
  'listeners' | 'upstreams' | 'routes' | 'tls' | 'rotation' | 'drain' | 'proxy' | 'log'
>;

/** @param demo where the demo upstream is, when it runs */
export function planeConfig(config: Config, demo: URL | null): PlaneConfig {
  const { listeners, routes, tls, rotation, drain, proxy, log } = config;
  const found = (target: string) => (target === demoTarget && demo ? demo.origin : target);
  const upstreams = Object.fromEntries(
    Object.entries(config.upstreams).map(([name, { targets }]) => [name, { targets: targets.map(found) }]),
  );
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

export function listenerOptions({ tls }: Pick<Config, 'tls'>, rules: ClientRules): TlsOptionsOfListener {
  const { minVersion, ciphers, handshakeTimeout, sessionTimeout, sessionCache } = tls;
  return {
    minVersion,
    ...(ciphers === undefined ? {} : { ciphers }),
    handshakeTimeout,
    sessionTimeout,
    sessionCache,
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
