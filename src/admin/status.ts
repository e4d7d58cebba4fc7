import type { ConnectionRegistry } from '../connections/index.ts';
import type { Conditions } from '../observe/index.ts';
import type { GenerationPublisher, Journal, Report } from '../rotation/index.ts';

/** What /status is made of. */
export interface StatusSources {
  readonly version: string;
  readonly startedAt: Date;
  readonly conditions: Conditions;
  readonly publisher: GenerationPublisher;
  readonly journal: Journal;
  readonly connections: ConnectionRegistry;
}

/** Everything that is served, what is on disk, and why they differ. */
export function buildStatus(sources: StatusSources) {
  const { publisher, conditions, connections, journal } = sources;
  const generation = publisher.current;
  return {
    version: sources.version,
    generation: generation.number,
    startedAt: sources.startedAt.toISOString(),
    ready: conditions.ready,
    conditions: conditions.list(),
    certificates: journal.status(generation),
    connections: connections.summary(),
    rotations: journal.rotations,
    workers: [{ id: 1, pid: process.pid, generation: generation.number }],
  };
}

export type Status = ReturnType<typeof buildStatus>;

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
}

/** What a reconciliation changed and rejected, as `POST /reload` answers it. */
export function buildReloadAnswer(report: Report): ReloadAnswer {
  const results: ReloadResult[] = report.verdicts.map((verdict) => {
    const result =
      verdict.result === 'applied' || verdict.result === 'dropped'
        ? 'applied'
        : verdict.result === 'unchanged'
          ? 'unchanged'
          : 'rejected';
    const { code, message, remedy } = verdict.error ?? {};
    return { certificate: verdict.id, result, ...(code ? { code, message: message ?? '', remedy: remedy ?? '' } : {}) };
  });
  for (const { file, code, message, remedy } of report.failures) {
    results.push({ certificate: file ?? '', result: 'rejected', code, message, remedy });
  }
  return { generation: report.generation, results };
}
