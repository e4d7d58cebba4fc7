import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ScriptProcess } from '../../support/child.ts';
import type { LoadTarget } from '../../support/load/types.ts';

/**
 * `fresh`: every request on a connection of its own, with a full handshake. `keep-alive`: all requests of a client on
 * one connection. Either way, a client sends its next request when it has the response.
 */
export type LoadKind = 'fresh' | 'keep-alive';

/** A load that is measured. */
export interface Trial {
  kind: LoadKind;
  /** Clients, one connection at a time each. */
  clients: number;
  /** Whole seconds. */
  seconds: number;
}

export interface LoadSetting extends Trial {
  target: LoadTarget;
}

export interface LoadResult {
  /** Requests that were answered with 200. */
  units: number;
  seconds: number;
  /** Requests that were not: refused, reset, cut, or answered with something else. */
  failed: number;
}

/** Makes a load for some time and says what came of it. */
export type Generate = (setting: LoadSetting) => Promise<LoadResult>;

/**
 * TLS 1.2 without tickets: wrk keeps the session of a connection for the next one, and of its TLS 1.3 handshakes every
 * second one would be resumed.
 */
export const FULL_HANDSHAKES = `openssl_conf = program
[program]
ssl_conf = ssl
[ssl]
system_default = all
[all]
MaxProtocol = TLSv1.2
Options = -SessionTicket
`;

/** The load generator that this machine has, and its name: wrk, else clients in a Node.js process (at several times the cost). */
export async function findGenerator(directory: string): Promise<{ name: string; generate: Generate }> {
  const version = await run(['-v']).catch(() => undefined);
  if (version === undefined) return { name: 'Node.js', generate: generateWithNode };
  const configuration = join(directory, 'full-handshakes.cnf');
  writeFileSync(configuration, FULL_HANDSHAKES);
  return {
    name: /wrk \S+/.exec(version)?.[0] ?? 'wrk',
    generate: (setting) => generateWithWrk(setting, configuration),
  };
}

async function generateWithWrk(setting: LoadSetting, fullHandshakes: string): Promise<LoadResult> {
  const { kind, clients, seconds, target } = setting;
  const fresh = kind === 'fresh';
  const output = await run(
    [
      ...['-t1', `-c${clients}`, `-d${seconds}`],
      ...(fresh ? ['-H', 'Connection: close'] : []),
      `https://${target.servername}:${target.port}/`,
    ],
    fresh ? { ...process.env, OPENSSL_CONF: fullHandshakes } : process.env,
  );
  const number = (pattern: RegExp) => Number(pattern.exec(output)?.[1] ?? 0);
  const errors = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(output)?.slice(1) ?? [];
  const refused = number(/Non-2xx or 3xx responses: (\d+)/);
  const rate = number(/Requests\/sec:\s+([\d.]+)/);
  const answered = number(/(\d+) requests in/);
  return {
    units: answered - refused,
    seconds: rate > 0 ? answered / rate : seconds,
    failed: refused + errors.reduce((sum, count) => sum + Number(count), 0),
  };
}

async function generateWithNode(setting: LoadSetting): Promise<LoadResult> {
  const clients = new ScriptProcess(new URL('./clients.ts', import.meta.url));
  try {
    clients.send(setting);
    return await clients.next<LoadResult>((setting.seconds + 20) * 1000);
  } finally {
    await clients.stop();
  }
}

/** Runs wrk; it ends with 1 after it has told its version. */
function run(args: readonly string[], env: NodeJS.ProcessEnv = process.env): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile('wrk', [...args], { env, timeout: 60_000 }, (error, stdout) => {
      if (error && stdout === '') reject(error);
      else resolve(stdout);
    });
  });
}
