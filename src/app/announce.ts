import { catalogue, type Finding, SwivelError } from '../errors.ts';
import type { Logger } from '../observe/index.ts';
import type { Report } from '../rotation/index.ts';
import { formatAddress, type ListenAddress } from '../tls/index.ts';

/** The error of a start without a single certificate, with every reason. */
export function nothingServable(report: Report): SwivelError {
  const reasons: Finding[] = [...report.failures];
  for (const { error } of report.verdicts) if (error) reasons.push(error);
  const lines = reasons.map(({ code, message, file, remedy }) => {
    const where = file !== undefined && !message.includes(file) ? ` (${file})` : '';
    return `\n  ${code}: ${message}${where}; ${remedy}`;
  });
  const remedy = `correct what follows, or run swivel dev-cert --out DIR for a development certificate${lines.join('')}`;
  return new SwivelError('NOTHING_SERVABLE', catalogue.NOTHING_SERVABLE.summary, { remedy });
}

export function logStart(
  logger: Logger,
  version: string,
  listeners: readonly ListenAddress[],
  admin: ListenAddress | null,
  first: Report,
): void {
  const served = first.verdicts.filter((verdict) => verdict.served);
  for (const { id, served: identity } of served) {
    const { fingerprint256, notAfter } = identity?.leaf ?? { fingerprint256: '', notAfter: 0 };
    const line = { event: 'serving', certificate: id, names: identity?.names, fingerprint256 };
    logger.debug({ ...line, notAfter: new Date(notAfter).toISOString() }, 'serving certificate');
  }
  logger.info(
    {
      event: 'listening',
      version,
      addresses: listeners.map(formatAddress),
      admin: admin ? formatAddress(admin) : 'off',
      certificates: served.length,
    },
    `listening on ${listeners.map(formatAddress).join(', ')}`,
  );
}
