import type { Status } from '../admin/index.ts';
import { type AdminAccess, askAdmin } from './admin-client.ts';
import { table } from './table.ts';

interface StatusFlags {
  readonly json: boolean;
  /** Fail unless it is ready. */
  readonly ready: boolean;
}

/** Prints what a running Swivel serves. @returns the exit code */
export async function status(admin: AdminAccess, flags: StatusFlags): Promise<number> {
  if (flags.ready) return (await askAdmin(admin, '/readyz', 'GET')).status === 200 ? 0 : 1;
  const answer = (await askAdmin(admin, '/status', 'GET')).body as Status;
  process.stdout.write(flags.json ? `${JSON.stringify(answer, null, 2)}\n` : render(answer));
  return 0;
}

function render(status: Status): string {
  const rows = status.certificates.map((certificate) => {
    const count = status.connections.byCertificate[certificate.id] ?? { current: 0, draining: 0 };
    return [
      certificate.id,
      certificate.state,
      certificate.diskMatchesServed ? 'yes' : 'NO',
      certificate.fingerprint256?.slice(0, 16) ?? '-',
      certificate.notAfter?.slice(0, 16) ?? '-',
      String(certificate.generation ?? '-'),
      `${count.current}+${count.draining}`,
      certificate.names.join(' '),
    ];
  });
  const header = [
    'CERTIFICATE',
    'STATE',
    'AS ON DISK',
    'FINGERPRINT',
    'EXPIRES',
    'GENERATION',
    'OPEN+DRAINING',
    'NAMES',
  ];
  const ready = status.ready ? 'ready' : 'NOT READY';
  const open = `${status.connections.open} connections, ${status.connections.draining} draining`;
  const lines = [`Swivel ${status.version}, ${ready}, generation ${status.generation}, ${open}`, ''];
  lines.push(table(header, rows));
  for (const { id, canary } of status.certificates) {
    if (!canary) continue;
    const { fingerprint256, handshakes, refused, promoteAt } = canary;
    const so = `${refused} of ${handshakes} handshakes refused, promoted at ${promoteAt}`;
    lines.push(`${id}: canary ${fingerprint256.slice(0, 16)}: ${so}`);
  }
  for (const { id, authorities, crls, diskMatchesServed, lastError, warnings } of status.trust) {
    lines.push(`trust ${id}: ${authorities} authorities, ${crls} CRLs${diskMatchesServed ? '' : ', NOT AS ON DISK'}`);
    for (const one of [...(lastError ? [lastError] : []), ...warnings]) lines.push(`trust ${id}: ${sentence(one)}`);
  }
  for (const { id, lastError, warnings } of status.sources) {
    for (const one of [...(lastError ? [lastError] : []), ...warnings]) lines.push(`source ${id}: ${sentence(one)}`);
  }
  for (const { id, lastError, warnings } of status.certificates) {
    if (lastError) lines.push(`${id}: ${sentence(lastError)} (since ${lastError.at})`);
    for (const warning of warnings) lines.push(`${id}: ${sentence(warning)}`);
  }
  if (status.workers.length > 1) {
    for (const { id, pid, state, generation, version } of status.workers) {
      lines.push(`worker ${id} (process ${pid}): ${state}, generation ${generation ?? '-'}, version ${version}`);
    }
  }
  for (const condition of status.conditions) {
    if (condition.status === 'False') lines.push(`${condition.type}: ${condition.reason}: ${condition.message}`);
  }
  for (const rotation of status.rotations.slice(0, 5)) {
    const change = `${rotation.from?.slice(0, 16) ?? 'nothing'} -> ${rotation.to?.slice(0, 16) ?? 'nothing'}`;
    lines.push(
      `${rotation.at} ${rotation.certificate} ${change} (${rotation.trigger}, ${rotation.durationMs} ms, ${rotation.drained} drained)`,
    );
  }
  return `${lines.join('\n').trimEnd()}\n`;
}

function sentence({ code, message, remedy }: { code: string; message: string; remedy: string }): string {
  return `${code}: ${message}; ${remedy}`;
}
