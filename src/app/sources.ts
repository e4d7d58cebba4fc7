import {
  type CertificateSource,
  DevelopmentSource,
  PemDirectorySource,
  PemFilesSource,
  Pkcs12Source,
  PluginSource,
  TicketKeyFileSource,
  TrustBundleSource,
} from '../certificates/index.ts';
import type { Config } from '../config/index.ts';
import type { Finding } from '../errors.ts';
import { examineMounts } from '../files/index.ts';
import type { Logger } from '../observe/index.ts';
import type { Verdict } from '../rotation/index.ts';

/** The sources of a configuration: certificates in their order, then trust bundles, then ticket keys. @param logger told what sources do by themselves */
export function createSources(config: Config, logger?: Logger): CertificateSource[] {
  const bundles = Object.entries(config.trust).map(([id, { path }]) => new TrustBundleSource({ id, path }));
  const { ticketKeyFile } = config.tls;
  const ticketKeys = ticketKeyFile === undefined ? [] : [new TicketKeyFileSource(ticketKeyFile)];
  return [...config.certificates.map((entry) => createSource(entry, logger)), ...bundles, ...ticketKeys];
}

function createSource(entry: Config['certificates'][number], logger: Logger | undefined): CertificateSource {
  const { path, cert, key, pkcs12, module, options, passphraseFile, names, development } = entry;
  const given = {
    ...(names === undefined ? {} : { names }),
    ...(passphraseFile === undefined ? {} : { passphraseFile }),
  };
  if (module !== undefined) {
    const log = (line: string) => logger?.info({ event: 'plugin', source: module }, line);
    return new PluginSource({ module, options, ...given, log });
  }
  if (pkcs12 !== undefined) return new Pkcs12Source({ pkcs12, ...given });
  if (path === undefined) return new PemFilesSource({ cert: cert ?? '', key: key ?? '', ...given });
  if (!development) return new PemDirectorySource(path, names);
  return new DevelopmentSource({
    path,
    names: development.names,
    ...(development.lifetime === undefined ? {} : { lifetime: development.lifetime }),
    issued: ({ certificateFile }) =>
      logger?.info({ event: 'development-certificate', file: certificateFile }, 'issued a development certificate'),
  });
}

/**
 * What is wrong with the way the certificates are mounted.
 * @param verdicts on what was found, for a clock that is slow
 */
export function inspectMounts(config: Config, verdicts: readonly Verdict[]): Promise<Finding[]> {
  const named = config.certificates.flatMap(({ path, cert, key, pkcs12, passphraseFile }) => [
    path,
    cert,
    key,
    pkcs12,
    passphraseFile,
  ]);
  const others = [...Object.values(config.trust).map(({ path }) => path), config.tls.ticketKeyFile];
  const paths = [...named, ...others].filter((one) => one !== undefined);
  const watching = config.watch.mode === 'auto' || config.watch.mode === 'events';
  const certificates = verdicts.flatMap(({ waiting }) =>
    waiting ? [{ file: waiting.files.certificate, notBefore: waiting.leaf.notBefore }] : [],
  );
  return examineMounts(paths, { watching, certificates });
}
