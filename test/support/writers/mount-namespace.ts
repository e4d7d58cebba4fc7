import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { run } from './staging.ts';
import type { Scope } from './types.ts';

const asRoot = process.getuid?.() === 0;

/** What makes mounts that nobody else sees; a command follows. */
export const unshareMounts: readonly string[] = [
  'unshare',
  ...(asRoot ? [] : ['-Ur']),
  '-m',
  '--propagation',
  'private',
];

/** A place in which file systems are mounted that nothing outside of it sees. It lasts until the test is over. */
export class MountNamespace {
  /** What runs a command in it; the command follows. */
  readonly enter: readonly string[];

  private constructor(pid: number) {
    this.enter = ['nsenter', '--target', String(pid), ...(asRoot ? [] : ['-U', '--preserve-credentials']), '--mount'];
  }

  static async open(t: Scope): Promise<MountNamespace> {
    const [program = '', ...args] = unshareMounts;
    // It lives as long as its standard input, and so never longer than the test.
    const holder = spawn(program, [...args, 'sh', '-c', 'echo here; read -r _'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    t.after(() => holder.stdin.end());
    await once(holder.stdout, 'data');
    return new MountNamespace(holder.pid ?? 0);
  }

  /** Runs a program in it to its end. @throws when it fails */
  run(...command: readonly string[]): Promise<void> {
    const [program = '', ...args] = [...this.enter, ...command];
    return run(program, ...args);
  }

  /** Starts a program that mounts something and stays, and waits for the mount. */
  async mountBy(t: Scope, directory: string, ...command: readonly string[]): Promise<void> {
    const [program = '', ...args] = [...this.enter, ...command];
    const daemon = spawn(program, args, { stdio: ['ignore', 'inherit', 'inherit'] });
    t.after(() => stop(daemon));
    // The daemon does not tell when it has mounted.
    for (const tooLong = AbortSignal.timeout(5_000); ; tooLong.throwIfAborted()) {
      const mounted = await this.run('mountpoint', '--quiet', directory).then(
        () => true,
        () => false,
      );
      if (mounted) return;
      await pause(10);
    }
  }
}

async function stop(daemon: ChildProcess): Promise<void> {
  if (daemon.exitCode !== null || daemon.signalCode !== null) return;
  const ended = once(daemon, 'exit');
  daemon.kill('SIGTERM');
  await ended;
}
