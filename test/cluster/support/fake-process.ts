import { setImmediate as turn } from 'node:timers/promises';
import { Worker, type WorkerMethods, type WorkerProcess } from '../../../src/cluster/index.ts';
import type { ConnectionRegistry, StopResult } from '../../../src/connections/index.ts';
import { type GenerationPublisher, LocalPublisher } from '../../../src/rotation/index.ts';
import { ContextStore, type Generation } from '../../../src/tls/index.ts';
import { during, type Fate, Post } from './post.ts';

export type Method = keyof WorkerMethods;

/** What can go wrong with a worker, and when. */
export interface Trouble {
  /** Just before a call arrives, or just after it was made there. */
  readonly when: 'before' | 'after';
  readonly method: Method;
  readonly what: 'die' | 'hang';
}

/** Connections that a fake worker says it drains for each retired certificate. */
export const drainedEach = 3;

/** A worker's process in this process: its end of the wire is the real one, with a store of its own, and what it serves is not asked for. */
export class FakeProcess implements WorkerProcess {
  readonly pid: number;
  readonly store = new ContextStore({ unknownName: 'default' });
  readonly worker: Worker;
  /** Every call that arrived, in order. */
  readonly calls: Method[] = [];
  readonly configurations: unknown[] = [];
  readonly sockets: object[] = [];
  readonly learned: Uint8Array[] = [];
  readonly levels: string[] = [];
  /** How many identities arrived. */
  delivered = 0;
  /** The size of the largest parcel. */
  largestParcel = 0;
  /** The generation it had when it began to accept connections. */
  openedAt: Generation | null = null;
  alive = true;
  abandoned = false;
  trouble: Trouble | null = null;
  /** What `begin`, or preparing a generation, throws. */
  failsIn: { readonly begin?: Error; prepare?: Error | undefined } = {};
  /** What preparing and draining wait for. */
  gates: { prepare?: Promise<unknown>; drain?: Promise<unknown>; close?: Promise<unknown>; open?: Promise<unknown> } =
    {};
  /** The identities it says it cannot serve. */
  refuses: ReadonlySet<string> = new Set();
  readonly toWorker = new Post();
  readonly toPrimary = new Post();
  readonly wire;
  readonly #exits: ((how: string) => void)[] = [];
  readonly #version: string;

  constructor(id: number, version = '1.0.0') {
    this.pid = 1000 + id;
    this.#version = version;
    this.wire = {
      send: (message: unknown, handle?: unknown) => this.toWorker.send(message, handle),
      receive: (listener: (message: unknown, handle?: unknown) => void) => this.toPrimary.receive(listener),
    };
    this.toWorker.intercept = (message) => this.#arrives(message);
    const wire = {
      send: (message: unknown) => this.toPrimary.send(message),
      receive: (listener: (message: unknown, handle?: unknown) => void) => this.toWorker.receive(listener),
    };
    this.worker = new Worker(wire, {
      version: this.#version,
      begin: () => {
        if (this.failsIn.begin) throw this.failsIn.begin;
      },
      createPlane: (configuration) => this.#plane(configuration),
      vitals: () => ({ memory: 1, cpu: 1, counts: null }),
    });
    void this.worker.ended.then(() => this.#exit('code 0'));
  }

  kill(signal: NodeJS.Signals): void {
    this.#exit(`signal ${signal}`);
  }

  onExit(listener: (how: string) => void): void {
    this.#exits.push(listener);
  }

  /** Neither reads nor writes any more, until `resume`. */
  hang(): void {
    this.toWorker.hold();
    this.toPrimary.hold();
  }

  resume(): void {
    this.toWorker.resume();
    this.toPrimary.resume();
  }

  /** Something it had said before it ended is read after its end. */
  sayAfterwards(message: unknown): void {
    this.toPrimary.deliver(message);
  }

  /** How often a call arrived. */
  count(method: Method): number {
    return this.calls.filter((call) => call === method).length;
  }

  #exit(how: string): void {
    if (!this.alive) return;
    this.alive = false;
    this.toWorker.close();
    // As with a process: what it wrote is read first, and its end is told in a turn of its own. Its timers end with it.
    void this.toPrimary.end().then(() => {
      setImmediate(() => {
        for (const listener of this.#exits) listener(how);
      });
    });
    this.gates = {};
    void this.worker.orphaned();
  }

  #arrives(message: Record<string, unknown>): Fate {
    const method = message['call'] as Method;
    const { trouble } = this;
    if (trouble?.method === method) {
      this.trouble = null;
      if (trouble.when === 'before') {
        this.#befall(trouble.what);
        return trouble.what === 'die' ? 'lost' : 'kept';
      }
      // The call is taken; its answer is not sent any more.
      queueMicrotask(() => this.#befall(trouble.what));
    }
    if (method) this.calls.push(method);
    if (method === 'deliver') {
      const { length } = message['argument'] as unknown[];
      this.delivered += length;
      this.largestParcel = Math.max(this.largestParcel, length);
    }
    return 'arrives';
  }

  #befall(what: Trouble['what']): void {
    if (what === 'die') this.kill('SIGKILL');
    else this.hang();
  }

  #plane(configuration: unknown) {
    this.configurations.push(configuration);
    const { store } = this;
    return {
      store,
      publisher: this.#publisher(),
      open: async (sockets: readonly object[]) => {
        this.openedAt = store.current;
        this.sockets.push(...sockets);
        await this.gates.open;
      },
      summary: () => ({ open: this.pid, draining: 0, byCertificate: {} }),
      learn: (certificates: readonly Uint8Array[]) => void this.learned.push(...certificates),
      setLogLevel: (level: string) => void this.levels.push(level),
      stopAccepting: async () => void (await this.gates.close),
      leave: async () => void (await this.gates.drain),
      stop: async (): Promise<StopResult> => {
        await this.gates.drain;
        // It takes longer than to leave does.
        for (let i = 0; i < 3; i += 1) await turn();
        return { cut: this.abandoned ? 2 : 1 };
      },
      abandon: () => {
        this.abandoned = true;
      },
    };
  }

  #publisher(): GenerationPublisher {
    const connections = {
      retire: (fingerprints: ReadonlySet<string>) => new Map([...fingerprints].map((one) => [one, drainedEach])),
      retireClients: async () => 0,
      cut: (fingerprints: ReadonlySet<string>) => fingerprints.size,
    };
    const local = new LocalPublisher(this.store, connections as unknown as ConnectionRegistry);
    return {
      get current() {
        return local.current;
      },
      prepare: async (target, now) => {
        await this.gates.prepare;
        const { prepare } = this.failsIn;
        if (prepare) throw prepare;
        const publication = await during(local.prepare(target, now));
        const refused = target.identities.filter(({ id }) => this.refuses.has(id));
        const failures = refused.map(({ id }) => ({
          code: 'CONTEXT_FAILED' as const,
          severity: 'error' as const,
          message: `no ${id}`,
          remedy: 'none',
          identity: id,
        }));
        return { ...publication, failures: [...publication.failures, ...failures] };
      },
      confirm: async () => [],
      cut: async (fingerprints) => local.cut(fingerprints),
    };
  }
}
