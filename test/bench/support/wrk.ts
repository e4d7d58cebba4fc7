import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runLoad } from './command.ts';

/** A load by wrk: every connection sends its next request when it has the response. */
export interface WrkLoad {
  url: string;
  connections: number;
  /** Whole seconds. */
  seconds: number;
  /** `NAME: VALUE` */
  headers?: readonly string[];
  /** Lua that sets the request up (wrk's SCRIPTING); without it, GET. */
  script?: string;
  env?: NodeJS.ProcessEnv;
  /** A directory for the script. */
  directory: string;
  /** Bytes of the body that every response must have. */
  bodyBytes: number;
}

/** Milliseconds. */
export interface Latency {
  p50: number;
  p99: number;
  p999: number;
}

/** What came of a load: all responses were as expected. */
export interface LoadFigures {
  /** Responses. */
  units: number;
  seconds: number;
  /** Bytes read, heads of responses among them. */
  bytes: number;
  latency: Latency;
}

interface Summary {
  requests: number;
  microseconds: number;
  bytes: number;
  errors: Record<'connect' | 'read' | 'write' | 'status' | 'timeout', number>;
  p50: number;
  p99: number;
  p999: number;
}

/** Runs once, when all is over, so that it costs nothing while the load goes on. */
const REPORT = `
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('\\n@{"requests":%d,"microseconds":%d,"bytes":%d,"errors":' ..
    '{"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d},"p50":%d,"p99":%d,"p999":%d}\\n',
    summary.requests, summary.duration, summary.bytes, e.connect, e.read, e.write, e.status, e.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
`;

/** The largest head of a response that any proxy here makes. */
const HEAD_LIMIT = 1_024;

/** Runs wrk; rejects when any response was an error, or when the responses were not as long as they must be. */
export async function wrk(load: WrkLoad): Promise<LoadFigures> {
  const { url, connections, seconds, headers = [], script = '', env, directory } = load;
  const file = join(directory, 'wrk.lua');
  await writeFile(file, `${script}${REPORT}`);
  const args = ['-t1', `-c${connections}`, `-d${seconds}`, '--timeout', '10s', '-s', file];
  const more = headers.flatMap((header) => ['-H', header]);
  const output = await runLoad('wrk', [...args, ...more, url], (seconds + 30) * 1000, env);
  const report = /^@(.*)$/m.exec(output)?.[1];
  if (report === undefined) throw new Error(`wrk reported nothing: ${output.slice(-500)}`);
  const summary = JSON.parse(report) as Summary;
  check(summary, load);
  return {
    units: summary.requests,
    seconds: summary.microseconds / 1e6,
    bytes: summary.bytes,
    latency: { p50: summary.p50 / 1000, p99: summary.p99 / 1000, p999: summary.p999 / 1000 },
  };
}

function check(summary: Summary, { bodyBytes, connections }: WrkLoad): void {
  const failed = Object.entries(summary.errors).filter(([, count]) => count > 0);
  if (failed.length > 0) throw new Error(`wrong answers: ${failed.map(([kind, n]) => `${n} × ${kind}`).join(', ')}`);
  if (summary.requests === 0) throw new Error('no response at all');
  // At the end, each connection may have read a part of one more response.
  const least = summary.requests * bodyBytes;
  const most = summary.requests * (bodyBytes + HEAD_LIMIT) + connections * (bodyBytes + HEAD_LIMIT);
  if (summary.bytes < least || summary.bytes > most)
    throw new Error(`responses of ${Math.round(summary.bytes / summary.requests)} bytes instead of ${bodyBytes}`);
}
