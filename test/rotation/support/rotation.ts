import type { TestContext } from 'node:test';
import type {
  CertificateSource,
  IdentityMaterial,
  SourceMaterial,
  TrustMaterial,
} from '../../../src/certificates/index.ts';
import { ConnectionRegistry } from '../../../src/connections/index.ts';
import type { Finding } from '../../../src/errors.ts';
import { FileWatchService, type WatchOptions } from '../../../src/files/index.ts';
import { Conditions, createLogger, createMetrics } from '../../../src/observe/index.ts';
import {
  type ActivationOptions,
  type GenerationPublisher,
  Journal,
  LocalPublisher,
  plainActivation,
  Reconciler,
} from '../../../src/rotation/index.ts';
import { ContextStore, type ContextStoreOptions } from '../../../src/tls/index.ts';

type After = Pick<TestContext, 'after'>;
type Line = Record<string, unknown>;

/** A source that holds what it is told to, and counts how often it is read. */
export class FakeSource implements CertificateSource {
  readonly id: string;
  readonly watch = [];
  identities: readonly IdentityMaterial[];
  findings: readonly Finding[] = [];
  /** Trust bundles; null: it is a source of identities. */
  bundles: readonly TrustMaterial[] | null = null;
  askAgainAt: number | null = null;
  loads = 0;
  /** What the next load waits for. */
  gate: Promise<unknown> | null = null;
  #begun = Promise.withResolvers<void>();

  constructor(id: string, ...identities: readonly IdentityMaterial[]) {
    this.id = id;
    this.identities = identities;
  }

  /** Resolves when the next load has begun. */
  get begun(): Promise<void> {
    return this.#begun.promise;
  }

  async load(): Promise<SourceMaterial> {
    this.loads += 1;
    this.#begun.resolve();
    this.#begun = Promise.withResolvers();
    const { gate } = this;
    this.gate = null;
    await gate;
    return {
      identities: this.identities,
      findings: this.findings,
      watch: [],
      ...(this.bundles ? { bundles: this.bundles } : {}),
      ...(this.askAgainAt === null ? {} : { askAgainAt: this.askAgainAt }),
    };
  }
}

/** Everything logged, with a way to wait for a line. */
export class Log {
  readonly lines: Line[] = [];
  text = '';
  readonly #watchers = new Set<() => void>();

  write(line: string): void {
    this.text += line;
    this.lines.push(JSON.parse(line) as Line);
    for (const watcher of this.#watchers) watcher();
  }

  of(event: string, certificate?: string): Line[] {
    return this.lines.filter(
      (line) => line['event'] === event && (certificate === undefined || line['certificate'] === certificate),
    );
  }

  /** The first line of an event about a certificate, as soon as it is there. */
  until(event: string, certificate?: string): Promise<Line> {
    return new Promise((resolve) => {
      const watcher = () => {
        const [line] = this.of(event, certificate);
        if (!line) return;
        this.#watchers.delete(watcher);
        resolve(line);
      };
      this.#watchers.add(watcher);
      watcher();
    });
  }
}

export interface RotationSetup {
  readonly loadTimeout?: number;
  readonly now?: () => number;
  readonly activation?: Partial<ActivationOptions>;
  readonly store?: Partial<ContextStoreOptions>;
  /** Draws who gets a canary. */
  readonly random?: () => number;
  /** Stands in for the publisher of this process. */
  readonly wrap?: (publisher: GenerationPublisher) => GenerationPublisher;
}

/** The rooms that rotate, as the program puts them together, without listeners. */
export function rotation(t: After, sources: readonly CertificateSource[], setup: RotationSetup = {}) {
  const metrics = createMetrics({ version: 'test' });
  const conditions = new Conditions([]);
  const log = new Log();
  const logger = createLogger({ level: 'debug', format: 'json' }, log);
  const store = new ContextStore({ unknownName: 'reject', ...setup.store }, setup.random);
  const connections = new ConnectionRegistry({ timeout: 60_000, spread: 0, upgraded: 60_000 }, metrics, logger);
  const local = new LocalPublisher(store, connections);
  const journal = new Journal(metrics, conditions, logger);
  const activation = { ...plainActivation, ...setup.activation };
  const options = { loadTimeout: setup.loadTimeout ?? 20_000, activation };
  const publisher = setup.wrap?.(local) ?? local;
  const reconciler = new Reconciler(sources, publisher, journal, logger, options, setup.now);
  t.after(() => {
    reconciler.stop();
    connections.destroyAll();
  });
  const servedBy = (host: string) => store.resolve(host)?.identity;
  return { metrics, conditions, log, store, connections, journal, reconciler, publisher, local, servedBy };
}

/** A watch; it ends with the test. */
export function watching(t: After, log: Log, options: Partial<WatchOptions> = {}): FileWatchService {
  const logger = createLogger({ level: 'debug', format: 'json' }, log);
  const all = { mode: 'events', resync: 60_000, pollInterval: 60_000, ...options } as const;
  const watch = new FileWatchService(all, logger);
  t.after(() => watch.close());
  return watch;
}
