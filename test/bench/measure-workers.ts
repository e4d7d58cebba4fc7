import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { percentilesOf } from '../support/load/percentiles.ts';
import type { LoadTarget } from '../support/load/types.ts';
import type { Authority } from '../support/pki.ts';
import { waitUntilServing } from './measure-rotation.ts';
import { freePort, ServerProcess } from './peers/process.ts';
import type { Generate, Trial } from './support/generate.ts';
import { cpuSeconds, type Memory, memoryOf, Neighbours } from './support/proc.ts';

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const SERVERNAME = 'localhost';
const START_LIMIT_MS = 15_000;

/** What one load of one round gave. */
export interface WorkersSample {
  /** Connections (each with one request) or requests, a second, on this machine with clients and upstream on it. */
  rate: number;
  /** Microseconds of processor time of all processes of Swivel for each of them. */
  cpuMicroseconds: number;
  /**
   * What the workers would carry a second if each had a core: workers × units / processor seconds of all processes, the
   * primary's among them. With one process, units / its processor seconds: one core, filled.
   */
  capacity: number;
  /** The same while the connections lie as they do: when the busiest process has filled its core, the others have not. */
  capacityOfBusiest: number;
  /** Share of the workers' processor time that the busiest of them had, 0 to 1. */
  busiest: number;
  failed: number;
  /** Share of the machine that processes outside the benchmark took, 0 to 1. */
  neighbours: number;
}

/** Memory of all processes together, and of the mean worker. */
export interface MemoryOfAll {
  total: Memory;
  worker: Memory;
}

/** A running Swivel. */
export class SwivelUnderLoad {
  readonly workers: number;
  readonly target: LoadTarget;
  readonly #server: ServerProcess;
  /** The one process, or the primary. */
  readonly #primary: number;
  /** The processes that serve. */
  readonly serving: readonly number[];

  private constructor(server: ServerProcess, target: LoadTarget, primary: number, serving: readonly number[]) {
    this.workers = serving.length;
    this.target = target;
    this.#server = server;
    this.#primary = primary;
    this.serving = serving;
  }

  /** Starts one with `workers` processes that serve, and resolves when all of them do. */
  static async start(
    workers: number,
    upstreamPort: number,
    authority: Authority,
    parent: string,
    name = `workers-${workers}`,
  ): Promise<SwivelUnderLoad> {
    const directory = join(parent, name);
    const certificateFile = join(directory, 'certs', 'site.pem');
    await mkdir(dirname(certificateFile), { recursive: true });
    const leaf = await authority.issue({ names: [SERVERNAME] });
    await writeFile(certificateFile, leaf.keyPem + leaf.chainPem, { mode: 0o600 });
    const [port, adminPort] = [await freePort(), await freePort()];
    const flags = {
      certs: dirname(certificateFile),
      upstream: `http://127.0.0.1:${upstreamPort}`,
      listen: `127.0.0.1:${port}`,
      admin: `127.0.0.1:${adminPort}`,
      workers: String(workers),
      'log-level': 'warn',
    };
    const args = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value]);
    const server = new ServerProcess(process.execPath, [main, 'serve', ...args], directory);
    try {
      const target = { port, servername: SERVERNAME, ca: authority.certificatePem };
      await waitUntilServing(target, leaf, { directory });
      return new SwivelUnderLoad(server, target, server.pid, await servingProcesses(adminPort, workers));
    } catch (error) {
      await server.stop();
      throw error;
    }
  }

  memory(): MemoryOfAll {
    const add = (pids: readonly number[], divisor: number): Memory => {
      const each = pids.map(memoryOf);
      return { rss: sum(each.map(({ rss }) => rss)) / divisor, pss: sum(each.map(({ pss }) => pss)) / divisor };
    };
    return { total: add(this.processes, 1), worker: add(this.serving, this.workers) };
  }

  stop(): Promise<void> {
    return this.#server.stop();
  }

  /** The primary's process id, and those of the workers; one process is both. */
  get processes(): readonly number[] {
    return [...new Set([this.#primary, ...this.serving])];
  }
}

/**
 * Puts one load on Swivels that run side by side, the clients divided among them.
 * @param helpers processes of the benchmark that work at the same time: the upstream
 */
export async function measureWorkers(
  swivels: readonly SwivelUnderLoad[],
  trial: Trial,
  generate: Generate,
  helpers: readonly number[],
): Promise<WorkersSample> {
  const pids = swivels.flatMap(({ processes }) => processes);
  const workers = sum(swivels.map((swivel) => swivel.workers));
  const clients = trial.clients / swivels.length;
  const neighbours = new Neighbours([...pids, ...helpers]);
  const before = pids.map((pid) => cpuSeconds([pid]));
  const results = await Promise.all(swivels.map(({ target }) => generate({ ...trial, clients, target })));
  const used = pids.map((pid, index) => cpuSeconds([pid]) - (before[index] ?? 0));
  const share = neighbours.share();
  const units = sum(results.map((result) => result.units));
  const ofWorkers = used.filter((_, index) => swivels.some(({ serving }) => serving.includes(pids[index] ?? 0)));
  return {
    rate: sum(results.map((result) => result.units / result.seconds)),
    cpuMicroseconds: (sum(used) * 1e6) / units,
    capacity: (workers * units) / sum(used),
    capacityOfBusiest: units / Math.max(...used),
    busiest: Math.max(...ofWorkers) / sum(ofWorkers),
    failed: sum(results.map(({ failed }) => failed)),
    neighbours: share,
  };
}

/** The median of each figure. */
export function summarizeWorkers(samples: readonly WorkersSample[]): WorkersSample {
  const median = (what: keyof WorkersSample) => percentilesOf(samples.map((sample) => sample[what])).median;
  return {
    rate: median('rate'),
    cpuMicroseconds: median('cpuMicroseconds'),
    capacity: median('capacity'),
    capacityOfBusiest: median('capacityOfBusiest'),
    busiest: median('busiest'),
    failed: sum(samples.map(({ failed }) => failed)),
    neighbours: median('neighbours'),
  };
}

/** Process ids of the workers, from /status, once there are `count`. */
async function servingProcesses(adminPort: number, count: number): Promise<number[]> {
  const began = performance.now();
  while (performance.now() - began < START_LIMIT_MS) {
    const response = await fetch(`http://127.0.0.1:${adminPort}/status`);
    const { workers } = (await response.json()) as { workers: readonly { pid: number; state?: string }[] };
    const serving = workers.filter(({ state }) => state === undefined || state === 'serving');
    if (serving.length === count) return serving.map(({ pid }) => pid);
    await sleep(50);
  }
  throw new Error(`/status does not tell of ${count} workers`);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
