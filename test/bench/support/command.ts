import { type ChildProcess, execFile } from 'node:child_process';

const running = new Set<ChildProcess>();

// A load generator does not notice that nobody waits for it any more.
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/**
 * Runs a load generator to its end and returns what it printed on stdout; rejects, with the end of its output, when it
 * fails or takes longer than `limitMs`.
 */
export function runLoad(
  command: string,
  args: readonly string[],
  limitMs: number,
  env: NodeJS.ProcessEnv = process.env,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { env, timeout: limitMs, killSignal: 'SIGKILL' as const, maxBuffer: 64 * 1024 * 1024 };
    const child = execFile(command, [...args], options, (error, stdout, stderr) => {
      running.delete(child);
      if (!error) resolve(stdout);
      else if (error.code === 'ENOENT') reject(new Error(`${command} is not installed`));
      else
        reject(new Error(`${command} failed: ${error.killed ? 'it did not end' : `${stdout}${stderr}`.slice(-500)}`));
    });
    running.add(child);
  });
}
