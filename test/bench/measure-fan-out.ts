import { setTimeout as sleep } from 'node:timers/promises';
import { ScriptProcess } from '../support/child.ts';
import { percentilesOf } from '../support/load/percentiles.ts';
import type { LoadTarget } from '../support/load/types.ts';
import type { Authority } from '../support/pki.ts';
import type { Counts, FanOutOrder, FanOutSetup, Way } from './fan-out-types.ts';
import { freePort } from './peers/process.ts';
import type { Generate, Trial } from './support/generate.ts';
import { cpuSeconds, Neighbours, quietest } from './support/proc.ts';

const SERVERNAME = 'localhost';
const ANSWER_LIMIT_MS = 20_000;
/** Between two kills or replacements, so that each meets workers that serve evenly. */
const RECOVERY_MS = 300;

/** What one trial of one round gave. */
export interface Sample {
  /** Connections (each with one request) or requests, a second. */
  rate: number;
  /** Microseconds of processor time of all server processes for each of them. */
  cpuMicroseconds: number;
  /** Share of the worker that had most, 0 to 1. */
  busiestOfConnections: number;
  busiestOfRequests: number;
  resumed: number;
  failed: number;
  /** Share of the machine that processes outside the benchmark took, 0 to 1. */
  neighbours: number;
}

/** One way to spread connections: a primary and its workers that stay for the whole run. */
export class FanOutServer {
  readonly way: Way;
  readonly target: LoadTarget;
  readonly #script: ScriptProcess;
  #pids: readonly number[];

  private constructor(way: Way, target: LoadTarget, script: ScriptProcess, pids: readonly number[]) {
    this.way = way;
    this.target = target;
    this.#script = script;
    this.#pids = pids;
  }

  /** Starts it and resolves when every worker listens. */
  static async start(way: Way, workers: number, authority: Authority): Promise<FanOutServer> {
    const leaf = await authority.issue({ names: [SERVERNAME] });
    const port = await freePort();
    const script = new ScriptProcess(new URL('./fan-out-server.ts', import.meta.url));
    const setup: FanOutSetup = { way, workers, port, key: leaf.keyPem, cert: leaf.chainPem };
    script.send(setup);
    const { answer } = await script.next<{ answer: number[] }>(ANSWER_LIMIT_MS);
    return new FanOutServer(way, { port, servername: SERVERNAME, ca: authority.certificatePem }, script, answer);
  }

  async measure(trial: Trial, generate: Generate): Promise<Sample> {
    const before = await this.#order<Counts[]>('count');
    const neighbours = new Neighbours(this.#pids);
    const cpuBefore = cpuSeconds(this.#pids);
    const { units, seconds, failed } = await generate({ ...trial, target: this.target });
    const cpu = cpuSeconds(this.#pids) - cpuBefore;
    const share = neighbours.share();
    const after = await this.#order<Counts[]>('count');
    const served = (what: keyof Counts) => after.map((counts, index) => counts[what] - (before[index]?.[what] ?? 0));
    return {
      rate: units / seconds,
      cpuMicroseconds: (cpu * 1e6) / units,
      busiestOfConnections: busiestShare(served('connections')),
      busiestOfRequests: busiestShare(served('requests')),
      resumed: sum(served('resumed')),
      failed,
      neighbours: share,
    };
  }

  /**
   * Takes workers away under a load of new connections, one after another.
   * @param seconds whole seconds of load @returns how many were taken, and the requests that failed for each of them
   */
  async disturb(order: 'kill' | 'replace', clients: number, seconds: number, generate: Generate): Promise<Disturbance> {
    const ending = performance.now() + (seconds - 0.5) * 1000;
    const load = generate({ kind: 'fresh', clients, seconds, target: this.target });
    let times = 0;
    for (await sleep(RECOVERY_MS); performance.now() < ending; await sleep(RECOVERY_MS)) {
      this.#pids = await this.#order<number[]>(order);
      times++;
    }
    const { units, failed } = await load;
    return { times, requests: units, failed };
  }

  stop(): Promise<void> {
    return this.#script.stop();
  }

  async #order<T>(order: FanOutOrder): Promise<T> {
    // A message is an object for whoever sends it; the primary reads the string.
    this.#script.send(Object(order) as object);
    return (await this.#script.next<{ answer: T }>(ANSWER_LIMIT_MS)).answer;
  }
}

/** What taking workers away did. */
export interface Disturbance {
  /** Workers that were killed or replaced. */
  times: number;
  /** Requests that were answered. */
  requests: number;
  failed: number;
}

/** What both did. */
export function addDisturbances(one: Disturbance, other: Disturbance): Disturbance {
  return {
    times: one.times + other.times,
    requests: one.requests + other.requests,
    failed: one.failed + other.failed,
  };
}

/** The median of each figure over the quieter half of the samples; failures of all. */
export function summarizeSamples(samples: readonly Sample[]): Sample {
  const quiet = quietest(samples);
  const median = (what: keyof Sample) => percentilesOf(quiet.map((sample) => sample[what])).median;
  return {
    rate: median('rate'),
    cpuMicroseconds: median('cpuMicroseconds'),
    busiestOfConnections: median('busiestOfConnections'),
    busiestOfRequests: median('busiestOfRequests'),
    resumed: sum(samples.map(({ resumed }) => resumed)),
    neighbours: median('neighbours'),
    failed: sum(samples.map(({ failed }) => failed)),
  };
}

function busiestShare(counts: readonly number[]): number {
  return Math.max(...counts) / sum(counts);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
