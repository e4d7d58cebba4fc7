import type { Status } from '../admin/index.ts';
import type { ValidatedIdentity } from '../certificates/index.ts';
import type { Verdict } from '../rotation/index.ts';
import { type AdminAccess, askAdmin } from './admin-client.ts';

/** What a running Swivel serves, as far as a rehearsal needs to know. */
export interface ServedElsewhere {
  readonly identities: ReadonlyMap<string, ValidatedIdentity>;
  /** Open connections, by the id of the certificate. */
  readonly connections: ReadonlyMap<string, number>;
}

/** What would come of a candidate. */
export interface Outlook {
  readonly id: string;
  readonly result: 'unchanged' | 'applied' | 'waits' | 'rejected';
  /** When it would be served, RFC 3339; null when never. */
  readonly activeAt: string | null;
  readonly namesGained: readonly string[];
  readonly namesLost: readonly string[];
  /** Connections that would be drained. */
  readonly drains: number;
}

/** Asks a running Swivel what it serves. @throws SwivelError ADMIN_UNREACHABLE */
export async function servedElsewhere(admin: AdminAccess): Promise<ServedElsewhere> {
  const status = (await askAdmin(admin, '/status', 'GET')).body as Status;
  const identities = new Map<string, ValidatedIdentity>();
  for (const certificate of status.certificates) {
    if (certificate.fingerprint256 !== null) identities.set(certificate.id, identityOf(certificate));
  }
  const counts = Object.entries(status.connections.byCertificate);
  return { identities, connections: new Map(counts.map(([id, { current }]) => [id, current])) };
}

/** The facts that a certificate is judged against; neither key nor chain leave the process that serves them. */
function identityOf(certificate: Status['certificates'][number]): ValidatedIdentity {
  const { id, source, names, fingerprint256, chainFingerprint256, keyType, notBefore, notAfter } = certificate;
  return {
    id,
    source,
    names,
    fingerprint: chainFingerprint256,
    files: { certificate: id, key: id },
    leaf: {
      fingerprint256,
      keyType,
      notBefore: Date.parse(notBefore ?? ''),
      notAfter: Date.parse(notAfter ?? ''),
    },
  } as unknown as ValidatedIdentity;
}

/** What would come of the verdict on a candidate, seen from what is served. */
export function outlookOf(verdict: Verdict, served: ServedElsewhere, candidate: ValidatedIdentity | null): Outlook {
  const { id, result } = verdict;
  const before = served.identities.get(id)?.names ?? [];
  const after = candidate?.names ?? [];
  const waits = verdict.waiting?.leaf.notBefore ?? verdict.until;
  const applied = result === 'applied' || result === 'canary';
  return {
    id,
    result: applied ? 'applied' : waits !== undefined ? 'waits' : result === 'unchanged' ? 'unchanged' : 'rejected',
    activeAt: applied ? new Date().toISOString() : waits === undefined ? null : new Date(waits).toISOString(),
    namesGained: candidate ? after.filter((name) => !before.includes(name)) : [],
    namesLost: candidate ? before.filter((name) => !after.includes(name)) : [],
    drains: applied || waits !== undefined ? (served.connections.get(id) ?? 0) : 0,
  };
}
