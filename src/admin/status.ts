import type { Replacement, Serving } from '../cluster/index.ts';
import type { Finding } from '../errors.ts';
import type { Conditions } from '../observe/index.ts';
import {
  type GenerationPublisher,
  type Journal,
  type Reconciler,
  type Report,
  sourceStatus,
  type Verdict,
} from '../rotation/index.ts';

/** What /status is made of. */
export interface StatusSources {
  readonly version: string;
  readonly startedAt: Date;
  readonly conditions: Conditions;
  readonly publisher: GenerationPublisher;
  readonly journal: Journal;
  readonly serving: Pick<Serving, 'summary' | 'workers' | 'restart'>;
  readonly reconciler: Reconciler;
}

/** Everything that is served, what is on disk, and why they differ. */
export async function buildStatus(sources: StatusSources) {
  const { publisher, conditions, serving, journal, reconciler } = sources;
  const connections = await serving.summary();
  const generation = publisher.current;
  return {
    version: sources.version,
    generation: generation.number,
    startedAt: sources.startedAt.toISOString(),
    ready: conditions.ready,
    conditions: conditions.list(),
    certificates: journal.status(generation, (id) => reconciler.trialOf(id)),
    trust: journal.trustStatus(),
    sources: reconciler.sources.map(sourceStatus),
    ticketKeys: reconciler.ticketKeys,
    connections,
    rotations: journal.rotations,
    workers: serving.workers(),
  };
}

export type Status = Awaited<ReturnType<typeof buildStatus>>;

/** What POST /restart-workers answers. */
export interface RestartAnswer {
  readonly generation: number;
  readonly replaced: readonly Replacement[];
}

/** One line of the answer to a reload. */
export interface ReloadResult {
  readonly certificate: string;
  readonly result: 'applied' | 'unchanged' | 'rejected';
  readonly code?: string;
  readonly message?: string;
  readonly remedy?: string;
}

export interface ReloadAnswer {
  readonly generation: number;
  readonly results: readonly ReloadResult[];
  /** The certificates that went back to an earlier one, in the answer to a rollback. */
  readonly rolledBack?: readonly string[];
}

const outcomes: Record<Verdict['result'], ReloadResult['result']> = {
  applied: 'applied',
  dropped: 'applied',
  canary: 'applied',
  unchanged: 'unchanged',
  rejected: 'rejected',
  pending: 'rejected',
  held: 'rejected',
};

function why(finding: Finding | null | undefined): Pick<ReloadResult, 'code' | 'message' | 'remedy'> {
  return finding ? { code: finding.code, message: finding.message, remedy: finding.remedy } : {};
}

/** What a reconciliation changed and rejected, as `POST /reload` answers it. */
export function buildReloadAnswer(report: Report): ReloadAnswer {
  const results: ReloadResult[] = report.verdicts.map((verdict) => {
    const compromised = verdict.warnings.find(({ code }) => code === 'CERT_COMPROMISED');
    // Held back because an operator wanted it so: that is no trouble.
    const wanted = verdict.result === 'held' && verdict.error?.severity === 'warning';
    const result = wanted ? 'unchanged' : outcomes[verdict.result];
    return { certificate: verdict.id, result, ...why(verdict.error ?? compromised) };
  });
  for (const { id, error } of report.bundles) {
    results.push({ certificate: `trust:${id}`, result: error ? 'rejected' : 'unchanged', ...why(error) });
  }
  for (const { file, code, message, remedy } of report.failures) {
    results.push({ certificate: file ?? '', result: 'rejected', code, message, remedy });
  }
  return { generation: report.generation, results };
}
