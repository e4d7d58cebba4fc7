import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { runLoad } from './command.ts';
import { latencyOf } from './latency.ts';
import type { LoadFigures } from './wrk.ts';

export interface H2Load {
  /** Port on 127.0.0.1. */
  port: number;
  servername: string;
  path: string;
  /** Flags that say how much: `-c`, `-m`, `-D`, `-n`, `-r`, `--h1`. */
  flags: readonly string[];
  /** A directory for its log. */
  directory: string;
  /** Bytes of the body that every response must have. */
  bodyBytes: number;
  /** Responses that the end may cut off; their bytes are counted, they are not. None when left out. */
  cutOff?: number;
  limitMs: number;
}

/** Runs h2load (nghttp2); rejects when any response was not 200 or their bodies were not as long as they must be. */
export async function h2load(load: H2Load): Promise<LoadFigures> {
  const { port, servername, path, flags, directory, bodyBytes, cutOff = 0, limitMs } = load;
  const log = join(directory, 'h2load.log');
  await rm(log, { force: true });
  const where = [`--connect-to=127.0.0.1:${port}`, `https://${servername}:${port}${path}`];
  const output = await runLoad('h2load', ['-t1', ...flags, `--log-file=${log}`, ...where], limitMs);
  const number = (pattern: RegExp) => Number(pattern.exec(output)?.[1] ?? Number.NaN);
  const done = number(/(\d+) done/);
  const failed = number(/(\d+) failed/) + number(/(\d+) errored/) + number(/(\d+) timeout/);
  const good = number(/status codes: (\d+) 2xx/);
  const bytes = number(/\((\d+)\) data/);
  if (!(done > 0) || failed !== 0 || good < done) throw new Error(`wrong answers: ${output.slice(-900)}`);
  if (bytes < done * bodyBytes || bytes > (done + cutOff) * bodyBytes)
    throw new Error(`responses of ${Math.round(bytes / done)} bytes instead of ${bodyBytes}`);
  const lines = (await readFile(log, 'utf8')).trimEnd().split('\n');
  const rows = lines.map((line) => line.split('\t').map(Number));
  const wrong = rows.find(([, status]) => status !== 200);
  if (wrong) throw new Error(`answered with ${wrong[1]}`);
  const latency = latencyOf(rows.map(([, , microseconds = Number.NaN]) => microseconds / 1000));
  return { units: done, seconds: secondsOf(output), bytes, latency };
}

/** `finished in 1.10s` or `950.32ms` */
function secondsOf(output: string): number {
  const [, amount, unit] = /finished in ([\d.]+)(us|ms|s)/.exec(output) ?? [];
  return Number(amount) / { us: 1e6, ms: 1e3, s: 1 }[unit as 's'];
}
