import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Ended, LogLine } from './swivel.ts';
import { patience } from './until.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
/** Where it exists: builds a stand-in for the base image, for machines that cannot pull it. */
const baseImageScript = join(root, '../shared/testkit/base-image.sh');

/** What a careful operator allows a container: nothing that it does not need, not even a place to write to. */
const hardened = ['--read-only', '--read-only-tmpfs=false', '--user=1000:1000', '--cap-drop=ALL'];
hardened.push('--security-opt=no-new-privileges');
/** Podman's own defaults lie above what a machine with low hard limits can give, and then nothing starts. */
const limits = ['--ulimit=nofile=4096:4096', '--ulimit=nproc=4096:4096'];

export interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end, whatever its exit code. @throws when it cannot be run at all */
export function run(command: string, args: readonly string[]): Promise<Finished> {
  const { promise, resolve, reject } = Promise.withResolvers<Finished>();
  execFile(command, args, { cwd: root, maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
    const code = error?.code ?? (error ? null : 0);
    if (typeof code === 'number') resolve({ code, stdout, stderr });
    else reject(error);
  });
  return promise;
}

async function runWell(command: string, args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await run(command, args);
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}:\n${stdout}\n${stderr}`);
  return stdout;
}

/**
 * Why no image can be built and run here; false when it can.
 * @throws where containers have to be there (CI=true) and are not
 */
export async function whyNoContainers(): Promise<string | false> {
  const reason = await whatIsMissing();
  if (reason !== false && process.env['CI'] === 'true') throw new Error(`containers cannot be tested: ${reason}`);
  return reason;
}

async function whatIsMissing(): Promise<string | false> {
  for (const tool of ['podman', 'buildah']) {
    const answers = await run(tool, ['--version']).then(
      ({ code }) => code === 0,
      () => false,
    );
    if (!answers) return `${tool} is not installed`;
  }
  if (!(await hasBaseImage()) && !existsSync(baseImageScript))
    return `the image ${baseImage()} is not in local storage`;
  return false;
}

/** What the Dockerfile builds upon. */
function baseImage(): string {
  return /^FROM (\S+)/m.exec(readFileSync(join(root, 'Dockerfile'), 'utf8'))?.[1] ?? '';
}

async function hasBaseImage(): Promise<boolean> {
  return (await run('podman', ['image', 'exists', baseImage()])).code === 0;
}

/** Builds the project's own Dockerfile. @returns the name of the image; `removeImage` takes it away again */
export async function buildImage(): Promise<string> {
  if (!(await hasBaseImage())) await runWell(baseImageScript, [/^node:(\d+)/.exec(baseImage())?.[1] ?? '']);
  const name = `localhost/swivel:e2e-${process.pid}`;
  // The format is Docker's because OCI's has no HEALTHCHECK.
  const how = ['--isolation=chroot', '--pull-never', '--network=host', '--format=docker'];
  await runWell('buildah', ['bud', ...how, '--tag', name, '.']);
  return name;
}

/** Runs another program of the image to its end. @returns what it printed */
export function runInImage(image: string, program: string, ...args: readonly string[]): Promise<string> {
  const flags = ['--rm', '--network=none', '--pull=never', ...limits, ...hardened, `--entrypoint=${program}`];
  return runWell('podman', ['run', ...flags, image, ...args]);
}

export async function removeImage(name: string): Promise<void> {
  await runWell('podman', ['rmi', '--force', name]);
}

export interface ContainerOptions {
  /** Host directories by the path they have in the container; mounted read-only. */
  readonly mounts?: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
  /** `none`: loopback of its own, so that the image's own addresses can be used without meeting others. */
  readonly network: 'host' | 'none';
}

let counter = 0;

/** A container in the foreground: its lines and its end are events, and its exit code is that of the program in it. */
export class Container {
  readonly name = `swivel-e2e-${process.pid}-${++counter}`;
  readonly lines: LogLine[] = [];
  readonly #ended: Promise<Ended>;
  readonly #watchers = new Set<() => void>();
  #stdout = '';
  #stderr = '';
  #over = false;

  /** @param args of Swivel; the container is removed when the test is over, if not before */
  constructor(t: Pick<TestContext, 'after'>, image: string, args: readonly string[], options: ContainerOptions) {
    const { mounts = {}, env = {}, network } = options;
    const flags = ['--rm', `--name=${this.name}`, `--network=${network}`, '--pull=never', ...limits, ...hardened];
    for (const [path, directory] of Object.entries(mounts)) flags.push(`--volume=${directory}:${path}:ro`);
    for (const [name, value] of Object.entries(env)) flags.push(`--env=${name}=${value}`);
    const child = spawn('podman', ['run', ...flags, image, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    createInterface({ input: child.stdout }).on('line', (line) => this.#line(line));
    child.stderr.on('data', (chunk: Buffer) => {
      this.#stderr += chunk.toString();
    });
    this.#ended = once(child, 'close').then(([code, signal]) => {
      this.#over = true;
      this.#tell();
      return { code, signal, stdout: this.#stdout, stderr: this.#stderr };
    });
    t.after(async () => {
      await runWell('podman', ['rm', '--force', '--ignore', '--time=0', this.name]);
      await this.#ended;
    });
  }

  /** Resolves when the container has ended. */
  ended(): Promise<Ended> {
    return this.#ended;
  }

  /** Runs a command in the container. */
  exec(...command: readonly string[]): Promise<Finished> {
    return run('podman', ['exec', this.name, ...command]);
  }

  /** Runs the image's own health check once. @returns whether it passed */
  async healthy(): Promise<boolean> {
    return (await run('podman', ['healthcheck', 'run', this.name])).code === 0;
  }

  async signal(name: 'HUP'): Promise<void> {
    await runWell('podman', ['kill', `--signal=${name}`, this.name]);
  }

  /** Stops as `docker stop` does: the stop signal, and after ten seconds the hard way. */
  async stop(): Promise<Ended> {
    await runWell('podman', ['stop', '--time=10', this.name]);
    return this.ended();
  }

  /** The first log line, past or to come, that satisfies a condition. */
  line(wanted: (line: LogLine) => boolean, withinMs = patience): Promise<LogLine> {
    const { promise, resolve, reject } = Promise.withResolvers<LogLine>();
    const signal = AbortSignal.timeout(withinMs);
    const look = () => {
      const found = this.lines.find(wanted);
      if (found) resolve(found);
      else if (this.#over || signal.aborted)
        reject(new Error(`no such line in the log:\n${this.#stdout}\n${this.#stderr}`));
      else return;
      this.#watchers.delete(look);
    };
    this.#watchers.add(look);
    signal.addEventListener('abort', look);
    look();
    return promise;
  }

  /** The port of the first TLS listener, once it listens. */
  async port(): Promise<number> {
    const { addresses } = (await this.line(({ event }) => event === 'listening')) as { addresses?: string[] };
    return Number(addresses?.[0]?.split(':').at(-1));
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

/** A port of loopback that was free a moment ago: for what has to know it beforehand. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as { port: number };
  await once(server.close(), 'close');
  return port;
}
