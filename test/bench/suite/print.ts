import type { Evaluation, Spread, TargetResult } from './evaluate.ts';
import { OURS } from './evaluate.ts';
import type { Figure, Scenario } from './types.ts';

/** A scenario as a table for people at a terminal. */
export function printScenario(scenario: Scenario, evaluation: Evaluation): void {
  console.log(`\n${scenario.title}`);
  const columns = measuredFigures(scenario, evaluation);
  const rows = Object.entries(evaluation.figures).map(([peer, figures]) => {
    const cells = columns.map((figure) => shortened(figures[figure.name]?.median));
    return [peer, ...cells, peer === OURS ? '' : spread(evaluation.ratios[peer])];
  });
  console.log(aligned([['', ...columns.map(heading), `${OURS} ÷ it`], ...rows]));
  for (const [peer, reason] of Object.entries(evaluation.failed)) console.log(`${peer}: FAILED, ${reason}`);
  for (const target of evaluation.targets) console.log(describe(scenario, target));
}

/** All scenarios as two tables in Markdown: what was measured, and what it was to reach. */
export function toMarkdown(scenarios: readonly Scenario[], evaluations: readonly Evaluation[], notes: string): string {
  const all = scenarios.flatMap((scenario) => {
    const evaluation = evaluations.find((one) => one.scenario === scenario.name);
    return evaluation ? [{ scenario, evaluation }] : [];
  });
  const peers = [...new Set(all.flatMap(({ evaluation }) => Object.keys(evaluation.figures)))];
  const rows = all.flatMap(({ scenario, evaluation }) =>
    measuredFigures(scenario, evaluation)
      .filter(isForReaders)
      .map((figure, index) => {
        const cells = peers.map((peer) => shortened(evaluation.figures[peer]?.[figure.name]?.median));
        return [index === 0 ? scenario.title : '', heading(figure), ...cells];
      }),
  );
  const targets = all.flatMap(({ scenario, evaluation }) =>
    evaluation.targets.map((target) => {
      const { against, atMost, measured, reached } = target;
      const other = 'peer' in against ? against.peer : titleOf(scenario, against.figure);
      return [
        scenario.title,
        titleOf(scenario, target.figure),
        other,
        `${atMost} ×`,
        spread(measured),
        verdict(reached),
      ];
    }),
  );
  const goals = table(['scenario', 'figure', 'against', 'at most', 'measured (least to most)', ''], targets);
  return [notes, table(['scenario', 'figure', ...peers], rows), goals].join('\n\n');
}

/** Figures that tell how good the measurement is, and not how good the proxy. */
const aboutTheRun = ['busy', 'neighbours', 'slowdown', 'rss'];

function isForReaders({ name }: Figure): boolean {
  return !aboutTheRun.includes(name);
}

/** Not every load tells all figures. */
function measuredFigures({ figures }: Scenario, evaluation: Evaluation): Figure[] {
  const all = Object.values(evaluation.figures);
  return figures.filter(({ name }) => all.some((ofPeer) => !Number.isNaN(ofPeer[name]?.median)));
}

function describe(scenario: Scenario, { figure, against, atMost, measured, reached }: TargetResult): string {
  const other = 'peer' in against ? against.peer : titleOf(scenario, against.figure);
  return `  ${titleOf(scenario, figure)} against ${other}: at most ${atMost} ×, measured ${spread(measured)}: ${verdict(reached)}`;
}

function verdict(reached: boolean | undefined): string {
  if (reached === undefined) return 'not measured';
  return reached ? 'reached' : 'NOT reached';
}

function titleOf(scenario: Scenario, figure: string): string {
  return scenario.figures.find(({ name }) => name === figure)?.title ?? figure;
}

function heading({ title, unit }: Figure): string {
  if (unit === '') return title;
  return unit.startsWith('/') ? `${title}${unit}` : `${title}, ${unit}`;
}

function spread(ratio: Spread | undefined): string {
  return ratio ? `${ratio.median.toFixed(2)} (${ratio.least.toFixed(2)} to ${ratio.most.toFixed(2)})` : '–';
}

/** Three digits that count. */
function shortened(value: number | undefined): string {
  if (value === undefined || Number.isNaN(value)) return '–';
  return Math.abs(value) >= 100 ? String(Math.round(value)) : String(Number(value.toPrecision(3)));
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

/** Columns of the same width, the first one to the left and the others to the right. */
function aligned(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  const pad = (cell: string, column: number) => {
    const width = widths[column] ?? 0;
    return column === 0 ? cell.padEnd(width) : cell.padStart(width);
  };
  return rows.map((row) => `  ${row.map(pad).join('  ')}`).join('\n');
}
