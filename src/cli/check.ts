import { activationOptions, createSources, inspectMounts } from '../app/index.ts';
import type { ValidatedIdentity } from '../certificates/index.ts';
import { loadConfig } from '../config/index.ts';
import { coded, type Finding, SwivelError } from '../errors.ts';
import { storeOptions } from '../plane/index.ts';
import { type Inspection, inspect } from '../rotation/index.ts';
import { demoTarget } from '../upstream/index.ts';
import type { AdminAccess } from './admin-client.ts';
import { type Outlook, outlookOf, servedElsewhere } from './against.ts';
import type { ServeFlags } from './options.ts';
import { table } from './table.ts';

export interface CheckFlags {
  readonly json: boolean;
  /** A directory or file to check in place of the configured certificates. */
  readonly path?: string | undefined;
  /** A running Swivel, against which the certificates are judged. */
  readonly against?: AdminAccess | undefined;
}

/** What was found, in the order in which it is told. */
interface Findings {
  readonly errors: readonly Finding[];
  readonly all: readonly Finding[];
}

/**
 * Validates configuration, certificates and mounts without serving, handshakes included; says what a running Swivel would make of them.
 * @returns the exit code
 * @throws SwivelError CHECK_FAILED, NOTHING_SERVABLE, and those of the configuration
 */
export async function check(flags: ServeFlags, { json, path, against }: CheckFlags): Promise<number> {
  const config = await loadConfig(flags.config, candidateOnly(flags, path), flags.defaults);
  const { gate, anchors, expiryWarnings } = activationOptions(config);
  const served = against ? await servedElsewhere(against) : null;
  const inspection = await inspect(createSources(config), {
    gate,
    anchors,
    expiryWarnings,
    store: storeOptions(config),
    // What is served under other ids comes from elsewhere and stays as it is.
    ...(served ? { served: served.identities } : {}),
  });
  const judged = served ? { ...inspection, verdicts: ofCandidates(inspection) } : inspection;
  const mounts = await inspectMounts(config, judged.verdicts);
  const findings = collect(judged, mounts);
  const outlooks = served
    ? judged.verdicts.map((verdict) => outlookOf(verdict, served, judged.identities.get(verdict.id) ?? null))
    : [];
  if (json) printJson(judged, mounts, outlooks, findings);
  else printTables(judged, outlooks, findings);
  const servable = judged.verdicts.some(({ served, waiting }) => served !== null || waiting !== undefined);
  if (findings.errors.length > 0 || !servable) throw new SwivelError(servable ? 'CHECK_FAILED' : 'NOTHING_SERVABLE');
  return 0;
}

/** The flags with the candidate in place of what is configured; where nothing is configured, no upstream is needed to judge it. */
function candidateOnly(
  { overrides, config, defaults: _ }: ServeFlags,
  path: string | undefined,
): ServeFlags['overrides'] {
  if (path === undefined) return overrides;
  const upstream = overrides.upstream ?? (config === undefined ? [demoTarget] : undefined);
  return { ...overrides, certs: [path], ...(upstream ? { upstream } : {}) };
}

/** The verdicts on what is on disk; that something else is served is no finding about it. */
function ofCandidates({ verdicts, identities }: Inspection): Inspection['verdicts'] {
  return verdicts.filter(({ id, error }) => identities.has(id) || error?.code !== 'FILE_MISSING');
}

function collect({ failures, verdicts, bundles, findings }: Inspection, mounts: readonly Finding[]): Findings {
  const told = [...verdicts, ...bundles].flatMap(({ error, warnings }) => [...(error ? [error] : []), ...warnings]);
  const all = [...failures, ...told, ...findings, ...mounts];
  return { errors: all.filter(({ severity }) => severity === 'error'), all };
}

function printJson(
  { verdicts, identities, bundles, failures, findings }: Inspection,
  mounts: readonly Finding[],
  outlooks: readonly Outlook[],
  { errors }: Findings,
): void {
  const certificates = verdicts.map(({ id, source, state, served, error, warnings }) => ({
    id,
    source,
    state,
    ...factsOf(identities.get(id) ?? served),
    error: error ? coded(error) : null,
    warnings: warnings.map(coded),
    ...outlooks.find((outlook) => outlook.id === id),
  }));
  const trust = bundles.map(({ id, source, served, error, warnings }) => ({
    id,
    source,
    authorities: served?.authorityCount ?? 0,
    crls: served?.crlCount ?? 0,
    error: error ? coded(error) : null,
    warnings: warnings.map(coded),
  }));
  const answer = {
    ok: errors.length === 0,
    certificates,
    trust,
    failures: failures.map(coded),
    warnings: [...findings, ...mounts].map(coded),
  };
  process.stdout.write(`${JSON.stringify(answer, null, 2)}\n`);
}

function factsOf(identity: ValidatedIdentity | null) {
  return {
    names: identity?.names ?? [],
    fingerprint256: identity?.leaf.fingerprint256 ?? null,
    notAfter: identity ? new Date(identity.leaf.notAfter).toISOString() : null,
  };
}

function printTables({ verdicts, bundles }: Inspection, outlooks: readonly Outlook[], { all }: Findings): void {
  const rows = verdicts.map(({ id, served, state, error }) => [
    id,
    error ? error.code : state === 'serving' ? 'ok' : state,
    served?.leaf.keyType ?? '-',
    served ? new Date(served.leaf.notAfter).toISOString().slice(0, 10) : '-',
    served?.names.join(' ') ?? '-',
  ]);
  if (outlooks.length > 0) process.stdout.write(renderOutlooks(outlooks));
  else if (rows.length > 0) process.stdout.write(table(['CERTIFICATE', 'RESULT', 'KEY', 'EXPIRES', 'NAMES'], rows));
  for (const { id, served } of bundles) {
    const contents = served ? `${served.authorityCount} authorities, ${served.crlCount} CRLs` : 'not usable';
    process.stdout.write(`trust ${id}: ${contents}\n`);
  }
  for (const { code, severity, message, file, remedy } of all) {
    const where = file !== undefined && !message.includes(file) ? `, ${file}` : '';
    process.stdout.write(`${severity}: ${code}: ${message}${where}; ${remedy}\n`);
  }
}

function renderOutlooks(outlooks: readonly Outlook[]): string {
  const header = ['CERTIFICATE', 'WOULD BE', 'ACTIVE', 'NAMES GAINED', 'NAMES LOST', 'CONNECTIONS DRAINED'];
  const rows = outlooks.map(({ id, result, activeAt, namesGained, namesLost, drains }) => [
    id,
    result,
    result === 'applied' ? 'at once' : (activeAt ?? '-'),
    namesGained.join(' ') || '-',
    namesLost.join(' ') || '-',
    String(drains),
  ]);
  return table(header, rows);
}
