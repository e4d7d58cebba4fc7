import { createSources, inspectMounts } from '../app/index.ts';
import { loadConfig } from '../config/index.ts';
import { coded, type Finding, SwivelError } from '../errors.ts';
import { inspect, type Verdict } from '../rotation/index.ts';
import type { ServeFlags } from './options.ts';
import { table } from './table.ts';

/** Validates configuration and certificates without serving. @returns the exit code */
export async function check(flags: ServeFlags, asJson: boolean): Promise<number> {
  const config = await loadConfig(flags.config, flags.overrides, flags.defaults);
  const { verdicts, failures, findings } = await inspect(createSources(config));
  const mounts = await inspectMounts(config, verdicts);
  const errors = [...failures, ...verdicts.flatMap(({ error }) => (error ? [error] : []))].filter(
    ({ severity }) => severity === 'error',
  );
  if (asJson) printJson(verdicts, failures, [...findings, ...mounts], errors.length === 0);
  else printTable(verdicts, failures, [...findings, ...mounts]);
  const servable = verdicts.some(({ served }) => served !== null);
  if (errors.length > 0 || !servable) throw new SwivelError(servable ? 'CHECK_FAILED' : 'NOTHING_SERVABLE');
  return 0;
}

function printJson(
  verdicts: readonly Verdict[],
  failures: readonly Finding[],
  warnings: readonly Finding[],
  ok: boolean,
): void {
  const certificates = verdicts.map(({ id, source, state, served, error, warnings }) => ({
    id,
    source,
    state,
    names: served?.names ?? [],
    fingerprint256: served?.leaf.fingerprint256 ?? null,
    notAfter: served ? new Date(served.leaf.notAfter).toISOString() : null,
    error: error ? coded(error) : null,
    warnings: warnings.map(coded),
  }));
  process.stdout.write(
    `${JSON.stringify({ ok, certificates, failures: failures.map(coded), warnings: warnings.map(coded) }, null, 2)}\n`,
  );
}

function printTable(verdicts: readonly Verdict[], failures: readonly Finding[], extra: readonly Finding[]): void {
  const rows = verdicts.map(({ id, served, state, error }) => [
    id,
    error ? error.code : state === 'serving' ? 'ok' : state,
    served?.leaf.keyType ?? '-',
    served ? new Date(served.leaf.notAfter).toISOString().slice(0, 10) : '-',
    served?.names.join(' ') ?? '-',
  ]);
  if (rows.length > 0) process.stdout.write(table(['CERTIFICATE', 'RESULT', 'KEY', 'EXPIRES', 'NAMES'], rows));
  const findings = [
    ...failures,
    ...verdicts.flatMap(({ error, warnings }) => [...(error ? [error] : []), ...warnings]),
    ...extra,
  ];
  for (const { code, severity, message, file, remedy } of findings) {
    const where = file !== undefined && !message.includes(file) ? `, ${file}` : '';
    process.stdout.write(`${severity}: ${code}: ${message}${where}; ${remedy}\n`);
  }
}
