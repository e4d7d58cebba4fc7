import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { promisify } from 'node:util';
import type { Status } from '../../src/admin/index.ts';
import { temporaryDirectory, writeAtomically, writePair } from '../../test/support/files.ts';
import { type Authority, createAuthority, type Leaf } from '../../test/support/pki.ts';
import { SwivelProcess, writeConfig } from './swivel.ts';
import { patience, until } from './until.ts';

type Scope = Pick<TestContext, 'after'>;
const run = promisify(execFile);

/** What the tests change: the directory of a trust bundle. */
export class TrustDirectory {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** Replaces a file by rename, as a tool does that knows what it is doing. */
  write(name: string, content: string): Promise<void> {
    return writeAtomically(join(this.path, name), content);
  }
}

/** A Swivel that checks client certificates, with files for the clients it is asked by. */
export class MutualDoor {
  readonly process: SwivelProcess;
  readonly port: number;
  readonly adminUrl: string;
  readonly directory: string;
  readonly trust: TrustDirectory;

  constructor(process: SwivelProcess, port: number, adminUrl: string, directory: string, trust: TrustDirectory) {
    this.process = process;
    this.port = port;
    this.adminUrl = adminUrl;
    this.directory = directory;
    this.trust = trust;
  }

  async status(): Promise<Status> {
    return (await (await fetch(`${this.adminUrl}/status`)).json()) as Status;
  }

  /** Resolves when as many authorities are in use, and all that is on disk. */
  async settled(authorities: number): Promise<void> {
    await until(`${authorities} authorities`, async () => {
      const [bundle] = (await this.status()).trust;
      return bundle?.authorities === authorities && bundle.diskMatchesServed;
    });
  }

  /** The code of what is wrong with the bundle on disk, as soon as something is. */
  error(): Promise<string> {
    return until('an error of the bundle', async () => (await this.status()).trust[0]?.lastError?.code);
  }

  async #fingerprint(): Promise<string | null | undefined> {
    return (await this.status()).trust[0]?.fingerprint256;
  }

  /** Changes the trust directory and waits until that is in use. */
  async change(edit: () => Promise<void>): Promise<void> {
    const before = await this.#fingerprint();
    await edit();
    await until('another trust bundle', async () => (await this.#fingerprint()) !== before);
  }

  /** Writes the files of a client. @returns what curl is given */
  async clientFiles(name: string, leaf: Leaf): Promise<string[]> {
    await writePair(this.directory, name, leaf);
    return ['--cert', join(this.directory, `${name}.crt`), '--key', join(this.directory, `${name}.key`)];
  }

  /** One request by curl. @returns status and body */
  async curl(host: string, ...flags: readonly string[]): Promise<{ status: number; body: string }> {
    const target = ['--resolve', `${host}:${this.port}:127.0.0.1`, `https://${host}:${this.port}/`];
    const ca = ['--cacert', join(this.directory, 'ca.crt')];
    const { stdout } = await run('curl', ['-sS', '-m', '10', '-w', '\n%{http_code}', ...ca, ...flags, ...target]);
    const end = stdout.lastIndexOf('\n');
    return { status: Number(stdout.slice(end + 1)), body: stdout.slice(0, end) };
  }

  /** One request by `openssl s_client`. @returns all it printed */
  async openssl(host: string, ...flags: readonly string[]): Promise<string> {
    const args = ['s_client', '-connect', `127.0.0.1:${this.port}`, '-servername', host, '-ign_eof'];
    const client = spawn('openssl', [...args, ...flags]);
    let output = '';
    for (const stream of [client.stdout, client.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        output += chunk.toString();
      });
    }
    client.stdin.on('error', () => {});
    client.stdin.write(`GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
    const end = setTimeout(() => client.kill(), patience);
    await once(client, 'close');
    clearTimeout(end);
    return output;
  }
}

export interface MutualOptions {
  /** Of the one listener. */
  readonly clientCertificates: object;
  /** What the bundle `clients` is at first, by file name. */
  readonly trust: Readonly<Record<string, string>>;
  readonly names: readonly string[];
  readonly upstream?: string;
  /** More of the configuration. */
  readonly config?: object;
}

/** Starts Swivel with a trust bundle of the name `clients`; it ends with the test. */
export async function startMutual(t: Scope, options: MutualOptions): Promise<MutualDoor> {
  const server: Authority = await createAuthority();
  const directory = await temporaryDirectory(t);
  await chmod(directory, 0o755);
  const [certs, trust] = [join(directory, 'certs'), join(directory, 'trust')];
  for (const path of [certs, trust]) await mkdir(path);
  await writePair(certs, 'server', await server.issue({ names: options.names }));
  await writeFile(join(directory, 'ca.crt'), server.certificatePem);
  for (const [name, content] of Object.entries(options.trust)) await writeFile(join(trust, name), content);
  const config = await writeConfig(t, {
    listeners: [{ address: '127.0.0.1:0', clientCertificates: options.clientCertificates }],
    trust: { clients: { path: trust } },
    certificates: [{ path: certs }],
    upstreams: { main: { targets: [options.upstream ?? 'builtin:demo'] } },
    admin: { address: '127.0.0.1:0' },
    log: { format: 'json' },
    ...options.config,
  });
  const swivel = new SwivelProcess(['serve', '--config', config]);
  t.after(async () => {
    swivel.kill('SIGTERM');
    await swivel.line(({ event }) => event === 'stopping').catch(() => {});
    swivel.kill('SIGTERM');
    await swivel.ended();
  });
  const listening = await swivel.line(({ event }) => event === 'listening');
  const [address = ''] = listening['addresses'] as string[];
  const port = Number(address.split(':').at(-1));
  return new MutualDoor(swivel, port, `http://${listening['admin']}`, directory, new TrustDirectory(trust));
}
