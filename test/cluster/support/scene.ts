import { randomBytes } from 'node:crypto';
import type { TestContext } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { TrustBundle, ValidatedIdentity } from '../../../src/certificates/index.ts';
import { ClusterPublisher, Fleet, type FleetOptions, type Observation } from '../../../src/cluster/index.ts';
import { createLogger } from '../../../src/observe/index.ts';
import type { Publication } from '../../../src/rotation/index.ts';
import { ContextStore, type Target } from '../../../src/tls/index.ts';
import { targetOf } from '../../tls/support/identities.ts';
import { FakeProcess } from './fake-process.ts';
import { quiet } from './post.ts';

/** Milliseconds between two beats of the pulse. */
export const pulse = 500;

type Line = Record<string, unknown>;

export interface SceneOptions extends Partial<FleetOptions> {
  readonly version?: () => string;
  /** Called with each process that is started. */
  readonly prepare?: (process: FakeProcess, id: number) => void;
}

/** A fleet of fake processes with what a primary has. Its clock only moves by `beat`. */
export class Scene {
  readonly store = new ContextStore({ unknownName: 'default' });
  readonly processes: FakeProcess[] = [];
  readonly lines: Line[] = [];
  readonly gone: { readonly id: number; readonly died: boolean }[] = [];
  readonly observations: Observation[] = [];
  readonly fleet: Fleet;
  readonly publisher: ClusterPublisher;
  readonly #tick: (ms: number) => void;

  constructor(tick: (ms: number) => void, { version, prepare, ...options }: SceneOptions = {}) {
    this.#tick = tick;
    const logger = createLogger(
      { level: 'debug', format: 'json' },
      { write: (line) => void this.lines.push(JSON.parse(line)) },
    );
    const start = (id: number) => {
      const process = new FakeProcess(id, version?.());
      this.processes.push(process);
      prepare?.(process, id);
      return process;
    };
    const all: FleetOptions = {
      size: 2,
      beginning: { user: null, inspect: false, niceness: 0 },
      configuration: (id) => ({ worker: id }),
      stopTimeout: 10_000,
      spawn: start,
      gone: (id, died) => void this.gone.push({ id, died }),
      vitals: () => {},
      observed: (some) => void this.observations.push(...some),
      changed: () => {},
      ...options,
    };
    this.fleet = new Fleet(all, this.store, logger);
    this.publisher = new ClusterPublisher(this.store, this.fleet, () => []);
  }

  /** The processes that run, oldest first. */
  get alive(): FakeProcess[] {
    return this.processes.filter(({ alive }) => alive);
  }

  /** The process of a worker. @param id counted from 1 */
  process(id: number): FakeProcess {
    const found = this.processes[id - 1];
    if (!found) throw new Error(`there is no worker ${id}`);
    return found;
  }

  /** Kills a worker. @returns the process that takes its place, as soon as it is started */
  async replaced(id: number): Promise<FakeProcess> {
    const { length } = this.processes;
    this.process(id).kill('SIGKILL');
    while (this.processes.length === length) await turn();
    return this.process(length + 1);
  }

  /** Starts the fleet and waits until it serves. */
  async open(...sockets: object[]): Promise<void> {
    this.fleet.start();
    await Promise.all([this.fleet.open(sockets), quiet()]);
    await quiet();
  }

  /** Half seconds pass, and what they bring is done. */
  async beat(count = 1): Promise<void> {
    for (let i = 0; i < count; i += 1) {
      this.#tick(pulse);
      await quiet();
    }
  }

  prepare(identities: readonly ValidatedIdentity[], more: Partial<Target> = {}): Promise<Publication> {
    return this.publisher.prepare(targetOf(identities, { ticketKeys: randomBytes(48), ...more }), Date.now());
  }

  /** Publishes, under ticket keys that nobody had before. @returns what drains */
  async publish(...identities: readonly ValidatedIdentity[]): Promise<ReadonlyMap<string, number>> {
    return (await this.prepare(identities)).commit();
  }

  /** The lines of the log with a code. */
  logged(code: string): Line[] {
    return this.lines.filter((line) => line['code'] === code);
  }

  /** Ends everything. */
  async end(): Promise<void> {
    this.fleet.close();
    for (const process of this.processes) process.kill('SIGKILL');
    await quiet();
  }
}

/** Timers that run, of all that were started since the clock of a test was taken over. */
export const timers = new Set<unknown>();

/** Takes over the clock until the test ends. */
export function takeClock(t: TestContext): void {
  t.mock.timers.enable({ apis: ['setTimeout', 'setInterval'] });
  timers.clear();
  const { setTimeout: once, setInterval: often, clearTimeout: endOnce, clearInterval: endOften } = globalThis;
  const ended = (timer: unknown) => void timers.delete(timer);
  const replaced = {
    setTimeout: (work: () => void, ms: number) => {
      const timer = once(() => {
        ended(timer);
        work();
      }, ms);
      timers.add(timer);
      return timer;
    },
    setInterval: (work: () => void, ms: number) => {
      const timer = often(work, ms);
      timers.add(timer);
      return timer;
    },
    clearTimeout: (timer: NodeJS.Timeout) => {
      ended(timer);
      endOnce(timer);
    },
    clearInterval: (timer: NodeJS.Timeout) => {
      ended(timer);
      endOften(timer);
    },
  };
  Object.assign(globalThis, replaced);
}

/** A scene that ends with its test. */
export function scene(t: TestContext, options: SceneOptions = {}): Scene {
  takeClock(t);
  const made = new Scene((ms) => t.mock.timers.tick(ms), options);
  t.after(() => made.end());
  return made;
}

/** What a store serves, for comparison. */
export function contentsOf({ current, ticketKeys }: ContextStore) {
  const prints = (of: ReadonlyMap<string, { readonly identity: ValidatedIdentity }>) =>
    Object.fromEntries([...of].map(([id, { identity }]) => [id, identity.fingerprint]).sort());
  const trust = [...current.bundles].map(([id, { fingerprint }]: [string, TrustBundle]) => [id, fingerprint]).sort();
  return {
    number: current.number,
    served: prints(current.served),
    canaries: prints(current.canaries),
    bundles: Object.fromEntries(trust),
    ticketKeys: ticketKeys.toString('hex'),
  };
}
