import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { LoadTarget } from '../../support/load/types.ts';
import { type Authority, createAuthority, type Leaf } from '../../support/pki.ts';
import { waitUntilServing } from '../measure-rotation.ts';
import { freePort } from '../peers/process.ts';
import type { Peer, RunningPeer, Setting } from '../peers/types.ts';
import { Neighbours } from '../support/proc.ts';
import { CpuMeter, memoryOfTree, processTree } from '../support/process-tree.ts';
import { SpeedProbe } from '../support/speed.ts';
import { type BenchUpstream, startNodeUpstream, startStaticUpstream } from '../support/upstreams.ts';
import { type Processors, pinClients, raiseFileLimit } from './processors.ts';

export const SERVERNAME = 'localhost';

/** Files that a proxy has open beside its connections, and more. */
const SPARE_FILES = 1_000;

export interface StageOptions {
  /** A directory for everything that is written. */
  directory: string;
  /** How long each load takes, in whole seconds. */
  seconds: number;
  /** How many there are in the scenarios of these names; fewer connections where not so many files may be open. */
  idleConnections: number;
  certificates: number;
}

/** What a peer is started with; the rest is the same for all. */
export interface SiteOptions {
  upstream: 'static' | 'node';
  leaf?: Leaf | undefined;
  /** Serves a directory of certificates that is there already, `leaf` among them, in this file. */
  among?: string | undefined;
  /** A line is logged for each request. */
  accessLog?: boolean | undefined;
  /** Not to be waited for: the caller measures how long its start takes. */
  starting?: boolean | undefined;
}

/** What all scenarios share: the upstreams, the certificates, the processors. */
export class Stage {
  readonly directory: string;
  readonly seconds: number;
  readonly idleConnections: number;
  readonly certificates: number;
  readonly authority: Authority;
  readonly leaves: { readonly ecdsa: Leaf; readonly rsa: Leaf };
  readonly processors: Processors;
  /** Of the processor that the proxy has. */
  readonly speed: SpeedProbe;
  readonly #upstreams: Record<SiteOptions['upstream'], BenchUpstream>;
  readonly #sites = new Set<Site>();

  private constructor(
    options: StageOptions,
    processors: Processors,
    authority: Authority,
    leaves: Stage['leaves'],
    upstreams: Record<SiteOptions['upstream'], BenchUpstream>,
  ) {
    this.directory = options.directory;
    this.seconds = options.seconds;
    this.idleConnections = options.idleConnections;
    this.certificates = options.certificates;
    this.processors = processors;
    this.speed = new SpeedProbe(processors.proxy);
    this.authority = authority;
    this.leaves = leaves;
    this.#upstreams = upstreams;
  }

  static async build(options: StageOptions): Promise<Stage> {
    // A proxy may need two files for each connection.
    const mostConnections = Math.floor(((await raiseFileLimit()) - SPARE_FILES) / 2);
    const idleConnections = Math.min(options.idleConnections, mostConnections);
    const processors = await pinClients();
    const authority = await createAuthority();
    const leaves = {
      ecdsa: await authority.issue({ names: [SERVERNAME] }),
      rsa: await authority.issue({ names: [SERVERNAME], keyType: 'rsa-2048' }),
    };
    const directory = join(options.directory, 'upstream');
    await mkdir(directory);
    const upstreams = { static: await startStaticUpstream(directory), node: await startNodeUpstream() };
    return new Stage({ ...options, idleConnections }, processors, authority, leaves, upstreams);
  }

  /** Starts a peer in a directory of its own, and resolves when it serves. */
  async start(peer: Peer, options: SiteOptions): Promise<Site> {
    const directory = await mkdtemp(join(this.directory, `${peer.name}-`));
    const leaf = options.leaf ?? this.leaves.ecdsa;
    const certificateFile = options.among ?? join(directory, 'certs', 'site.pem');
    if (options.among === undefined) {
      await mkdir(dirname(certificateFile));
      await writeFile(certificateFile, leaf.keyPem + leaf.chainPem, { mode: 0o600 });
    }
    const setting: Setting = {
      directory,
      port: await freePort(),
      upstreamPort: this.#upstreams[options.upstream].port,
      servername: SERVERNAME,
      certificateFile,
      adminPort: await freePort(),
      cpu: this.processors.proxy,
      wholeDirectory: options.among !== undefined,
      accessLog: options.accessLog,
    };
    const site = new Site(peer, setting, await peer.start(setting), this);
    this.#sites.add(site);
    if (options.starting) return site;
    try {
      await waitUntilServing(site.target, leaf, setting);
    } catch (error) {
      await site.stop();
      throw error;
    }
    return site;
  }

  /** Every process of the benchmark beside this one. */
  processes(): number[] {
    const proxies = [...this.#sites].flatMap(({ pid }) => processTree(pid));
    return [...proxies, ...Object.values(this.#upstreams).flatMap((upstream) => upstream.pids())];
  }

  left(site: Site): void {
    this.#sites.delete(site);
  }

  async close(): Promise<void> {
    this.speed.stop();
    await Promise.all([...this.#sites].map((site) => site.stop()));
    await Promise.all(Object.values(this.#upstreams).map((upstream) => upstream.stop()));
  }
}

/** What a proxy used while something was done with it. */
export interface Usage {
  cpuSeconds: number;
  /** Share of one processor that it used, 0 to 1: near 1, the proxy was the limit, not the load. */
  busy: number;
  /** MiB, right afterwards. */
  pss: number;
  rss: number;
  /** Share of the machine that processes outside the benchmark took, 0 to 1. */
  neighbours: number;
}

/** A running proxy. */
export class Site {
  readonly peer: Peer;
  readonly setting: Setting;
  readonly target: LoadTarget;
  readonly #running: RunningPeer;
  readonly #stage: Stage;

  constructor(peer: Peer, setting: Setting, running: RunningPeer, stage: Stage) {
    this.peer = peer;
    this.setting = setting;
    this.target = { port: setting.port, servername: setting.servername, ca: stage.authority.certificatePem };
    this.#running = running;
    this.#stage = stage;
  }

  get pid(): number {
    return this.#running.pid;
  }

  get announce(): RunningPeer['announce'] {
    return this.#running.announce;
  }

  url(path: string): string {
    return `https://${this.target.servername}:${this.target.port}${path}`;
  }

  /**
   * Does something and says what it cost the proxy.
   * @param clients processes that make the load and do not end with it
   */
  async using<T>(work: () => Promise<T>, clients: readonly number[] = []): Promise<{ result: T; usage: Usage }> {
    const neighbours = new Neighbours([...this.#stage.processes(), ...clients]);
    const began = performance.now();
    const meter = new CpuMeter(this.pid);
    const result = await work();
    const cpuSeconds = meter.seconds();
    const busy = cpuSeconds / ((performance.now() - began) / 1000);
    return { result, usage: { cpuSeconds, busy, ...memoryOfTree(this.pid), neighbours: neighbours.share() } };
  }

  async stop(): Promise<void> {
    this.#stage.left(this);
    await this.#running.stop();
    await rm(this.setting.directory, { recursive: true, force: true });
  }
}
