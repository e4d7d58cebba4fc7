import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { ReloadAnswer, Status } from '../../src/admin/index.ts';
import { patience } from './until.ts';

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

/** Longer than any of these tests takes: what waits for an event that never comes fails instead of hanging. */
export const bounded = { timeout: 4 * patience };

/** A line of the log. */
export type LogLine = Record<string, unknown> & { readonly event?: string; readonly msg?: string };

export interface StartOptions {
  readonly certs?: string | readonly string[];
  readonly upstream?: string | readonly string[];
  /** More flags. */
  readonly flags?: readonly string[];
  /** Wraps the command, such as `['faketime', '+60 days']`. */
  readonly wrap?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** The content of a configuration file, given with `--config`. */
  readonly config?: object;
}

type SpawnOptions = Pick<StartOptions, 'wrap' | 'env' | 'cwd'>;

/** How a process ended, with all it printed. */
export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The program as its users run it, in a process of its own. */
export class SwivelProcess {
  readonly child: ChildProcess;
  readonly lines: LogLine[] = [];
  readonly #ended: Promise<Ended>;
  readonly #watchers = new Set<() => void>();
  #stdout = '';
  #stderr = '';
  #over = false;

  constructor(args: readonly string[], { wrap = [], env = {}, cwd }: SpawnOptions = {}) {
    const [command = process.execPath, ...rest] = [...wrap, process.execPath, main, ...args];
    const where = cwd === undefined ? {} : { cwd };
    this.child = spawn(command, rest, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env }, ...where });
    if (this.child.stdout) {
      createInterface({ input: this.child.stdout }).on('line', (line) => this.#line(line));
    }
    this.child.stderr?.on('data', (chunk: Buffer) => {
      this.#stderr += chunk.toString();
    });
    this.#ended = once(this.child, 'close').then(([code, signal]) => {
      this.#over = true;
      this.#tell();
      return { code, signal, stdout: this.#stdout, stderr: this.#stderr };
    });
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  get stdout(): string {
    return this.#stdout;
  }

  get stderr(): string {
    return this.#stderr;
  }

  /** Resolves when the process has ended. */
  ended(): Promise<Ended> {
    return this.#ended;
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** Ends it with SIGTERM and waits; once it is over, does nothing. */
  async stop(): Promise<Ended> {
    if (!this.#over) this.kill('SIGTERM');
    return this.ended();
  }

  /** The first log line, past or to come, that satisfies a condition. */
  line(wanted: (line: LogLine) => boolean, withinMs = patience): Promise<LogLine> {
    return this.#lineFrom(0, wanted, withinMs);
  }

  /** Reads the log from here on: each call resolves with the first line after the last one that satisfies a condition. */
  follow(): (wanted: (line: LogLine) => boolean, withinMs?: number) => Promise<LogLine> {
    let from = this.lines.length;
    return async (wanted, withinMs = patience) => {
      const line = await this.#lineFrom(from, wanted, withinMs);
      from = this.lines.indexOf(line) + 1;
      return line;
    };
  }

  #lineFrom(from: number, wanted: (line: LogLine) => boolean, withinMs: number): Promise<LogLine> {
    const signal = AbortSignal.timeout(withinMs);
    return new Promise((resolve, reject) => {
      const look = () => {
        const found = this.lines.find((line, i) => i >= from && wanted(line));
        if (found) resolve(found);
        else if (this.#over || signal.aborted) {
          reject(new Error(`no such line in the log:\n${this.#stdout}\n${this.#stderr}`));
        } else return;
        this.#watchers.delete(look);
      };
      this.#watchers.add(look);
      signal.addEventListener('abort', look);
      look();
    });
  }

  #line(text: string): void {
    this.#stdout += `${text}\n`;
    try {
      this.lines.push(JSON.parse(text) as LogLine);
    } catch {
      this.lines.push({ msg: text });
    }
    this.#tell();
  }

  #tell(): void {
    for (const watcher of [...this.#watchers]) watcher();
  }
}

/** A Swivel that listens. */
export interface RunningSwivel {
  readonly process: SwivelProcess;
  readonly port: number;
  readonly adminUrl: string;
  status(): Promise<Status>;
  reload(): Promise<ReloadAnswer>;
  metrics(): Promise<string>;
  /** The sum of a metric over all its series that have these labels; undefined when there is none. */
  metric(name: string, labels?: Readonly<Record<string, string>>): Promise<number | undefined>;
  ready(): Promise<{ status: number; body: { ready: boolean } }>;
}

/** Starts `swivel serve` on free ports of loopback, and has it stopped when the test is over. */
export async function startSwivel(t: Pick<TestContext, 'after'>, options: StartOptions): Promise<RunningSwivel> {
  const args = ['serve', '--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--log-format', 'json'];
  if (options.config) args.push('--config', await writeConfig(t, options.config));
  for (const path of [options.certs ?? []].flat()) args.push('--certs', path);
  for (const url of [options.upstream ?? []].flat()) args.push('--upstream', url);
  const swivel = new SwivelProcess([...args, ...(options.flags ?? [])], options);
  t.after(async () => {
    const { code, signal, stderr } = await stopWithin(swivel, patience);
    if (code !== 0) throw new Error(`swivel ended with ${code ?? signal}:\n${stderr}`);
  });
  const listening = await swivel.line(({ event }) => event === 'listening');
  const port = Number(
    String((listening['addresses'] as string[])[0])
      .split(':')
      .at(-1),
  );
  const adminUrl = `http://${listening['admin']}`;
  const metrics = async () => (await fetch(`${adminUrl}/metrics`)).text();
  const json = async (path: string, init?: RequestInit) => (await fetch(`${adminUrl}${path}`, init)).json();
  return {
    process: swivel,
    port,
    adminUrl,
    status: async () => (await json('/status')) as Status,
    reload: async () => (await json('/reload', { method: 'POST' })) as ReloadAnswer,
    metrics,
    metric: async (name, labels = {}) => sumOf(await metrics(), name, labels),
    ready: async () => {
      const answer = await fetch(`${adminUrl}/readyz`);
      return { status: answer.status, body: (await answer.json()) as { ready: boolean } };
    },
  };
}

/** Writes a configuration file (JSON is YAML); it is removed after the test. */
export async function writeConfig(t: Pick<TestContext, 'after'>, content: object | string): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'swivel-config-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  // The program may run as another user.
  await chmod(directory, 0o755);
  const path = join(directory, 'swivel.yaml');
  await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content, null, 2));
  return path;
}

function sumOf(text: string, name: string, labels: Readonly<Record<string, string>>): number | undefined {
  let sum: number | undefined;
  for (const line of text.split('\n')) {
    const match = /^([a-zA-Z0-9_:]+)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (match?.[1] !== name) continue;
    const series = match[2] ?? '';
    const wanted = Object.entries(labels).every(([label, value]) => `,${series}`.includes(`,${label}="${value}"`));
    if (wanted) sum = (sum ?? 0) + Number(match[3]);
  }
  return sum;
}

/** The first SIGTERM stops gracefully, the second cuts what that waits for. A process that does not end then is killed. */
async function stopWithin(swivel: SwivelProcess, ms: number): Promise<Ended> {
  const end = setTimeout(() => swivel.kill('SIGKILL'), ms);
  swivel.kill('SIGTERM');
  await swivel.line(({ event }) => event === 'stopping', ms).catch(() => {});
  swivel.kill('SIGTERM');
  try {
    return await swivel.ended();
  } finally {
    clearTimeout(end);
  }
}

/** Runs a command of Swivel to its end; one that goes on and on is killed. */
export async function runSwivel(args: readonly string[], options: SpawnOptions = {}): Promise<Ended> {
  const swivel = new SwivelProcess(args, options);
  const end = setTimeout(() => swivel.kill('SIGKILL'), patience);
  try {
    return await swivel.ended();
  } finally {
    clearTimeout(end);
  }
}
