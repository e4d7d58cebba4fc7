import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';

const execute = promisify(execFile);
const STOP_LIMIT_MS = 5_000;
const running = new Set<ServerProcess>();

// Whatever ends the benchmark, no server outlives it.
process.on('exit', () => {
  for (const server of running) server.killGroup();
});

/** A server under test and the workers it starts: one process group, its output in `output.log` of its directory. */
export class ServerProcess {
  readonly #process: ChildProcess;

  constructor(command: string, args: readonly string[], directory: string, env: NodeJS.ProcessEnv = process.env) {
    const log = openSync(join(directory, 'output.log'), 'a');
    this.#process = spawn(command, args, { detached: true, stdio: ['ignore', log, log], env });
    closeSync(log);
    running.add(this);
    // A command that cannot be started shows up as a port that never answers, with the log beside it.
    this.#process.on('error', () => {});
  }

  /** Process id; throws when the command could not be started. */
  get pid(): number {
    if (this.#process.pid === undefined) throw new Error(`cannot start ${this.#process.spawnfile}`);
    return this.#process.pid;
  }

  /** SIGTERM, then whatever is left of the group is killed. */
  async stop(): Promise<void> {
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      const exit = once(this.#process, 'exit');
      const killer = setTimeout(() => this.killGroup(), STOP_LIMIT_MS);
      this.#process.kill('SIGTERM');
      await exit;
      clearTimeout(killer);
    }
    this.killGroup();
    running.delete(this);
  }

  killGroup(): void {
    if (this.#process.pid === undefined) return;
    try {
      process.kill(-this.#process.pid, 'SIGKILL');
    } catch {
      // The group has ended.
    }
  }
}

/** The command that runs `command` on one processor (taskset(1)), or as it is when none is given. */
export function pinned(cpu: number | undefined, command: string, args: readonly string[]): [string, string[]] {
  return cpu === undefined ? [command, [...args]] : ['taskset', ['-c', String(cpu), command, ...args]];
}

/** Runs a command to its end; rejects when it fails. */
export async function runCommand(command: string, args: readonly string[], env = process.env): Promise<string> {
  const { stdout, stderr } = await execute(command, [...args], { env, timeout: 10_000 });
  return `${stdout}${stderr}`;
}

/** The first version number that a command prints, or why the command cannot be used. */
export async function findCommand(
  command: string,
  versionArgument: string,
): Promise<{ version: string } | { skipped: string }> {
  try {
    const output = await runCommand(command, [versionArgument]);
    return { version: /\d+\.\d+[.\d]*/.exec(output)?.[0] ?? 'unknown' };
  } catch (error) {
    const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    return { skipped: missing ? `${command} is not installed` : `${command} does not run: ${error}` };
  }
}

/** A loopback port that was free a moment ago, for servers that cannot be told to choose one. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
