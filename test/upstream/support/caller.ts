import type { TestContext } from 'node:test';
import { FieldText, requestText } from '../../../src/http1/index.ts';
import type { Framing, UpstreamOptions, Wire, WireError, WireUser } from '../../../src/upstream/index.ts';
import { Wires } from '../../../src/upstream/wires.ts';

/** What a caller does beside writing down what it is told. */
export interface Habits {
  readonly method?: string;
  readonly path?: string;
  readonly framing?: Framing;
  /** Wants a connection that carried nothing yet. */
  readonly fresh?: boolean;
  /** Called at each event, after it was noted. */
  readonly on?: (event: string, caller: Caller) => void;
}

/** One who has a request sent, and writes down what it is told. */
export class Caller implements WireUser {
  /** What it was told, in order. */
  readonly events: string[] = [];
  readonly informed: number[] = [];
  status = 0;
  headers: string[] = [];
  endsWithConnection = false;
  trailers: string[] | null = null;
  error: WireError | null = null;
  wire: Wire | null = null;
  reused = false;
  /** Resolves when it was told the last. */
  readonly over: Promise<this>;
  readonly #habits: Habits;
  readonly #parts: Buffer[] = [];
  readonly #watchers = new Set<() => void>();
  #size = 0;
  #over = () => {};

  constructor(habits: Habits) {
    this.#habits = habits;
    this.over = new Promise((resolve) => {
      this.#over = () => resolve(this);
    });
  }

  get body(): string {
    return Buffer.concat(this.#parts).toString('latin1');
  }

  /** Octets of the body so far. */
  get size(): number {
    return this.#size;
  }

  /** How it ended: `end`, or what was wrong; empty as long as it did not. */
  get outcome(): string {
    return this.error ? (this.error.fault ?? this.error.message) : this.trailers ? 'end' : '';
  }

  /** Resolves when something that it was told makes it so. */
  until(isTrue: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const watcher = () => {
        if (!isTrue()) return;
        this.#watchers.delete(watcher);
        resolve();
      };
      this.#watchers.add(watcher);
      watcher();
    });
  }

  onWire(wire: Wire, reused: boolean): void {
    this.wire = wire;
    this.reused = reused;
    const { method = 'GET', path = '/', framing = null } = this.#habits;
    const fields = framing === 'chunked' ? ['transfer-encoding', 'chunked'] : [];
    if (framing !== null && framing !== 'chunked') fields.push('content-length', String(framing.length));
    if (!this.#note('wire')) return;
    wire.send(method, requestText(method, path, new FieldText(['host', 'app.test', ...fields])), framing);
    if (framing !== null) wire.uncork();
    this.#note('sent');
  }

  onUnreachable(error: Error): void {
    this.error = error as WireError;
    this.#note('unreachable');
    this.#over();
  }

  onInform(status: number): void {
    this.informed.push(status);
    this.#note('inform');
  }

  onHead(status: number, headers: string[], endsWithConnection: boolean): void {
    this.status = status;
    this.headers = headers;
    this.endsWithConnection = endsWithConnection;
    this.#note('head');
  }

  onData(chunk: Buffer): void {
    this.#parts.push(Buffer.from(chunk));
    this.#size += chunk.length;
    this.#note('data');
  }

  onRead(): void {
    this.#note('read');
  }

  onWritable(): void {
    this.#note('writable');
  }

  onEnd(trailers: string[]): void {
    this.trailers = trailers;
    this.#note('end');
    this.#over();
  }

  onError(error: Error): void {
    this.error = error as WireError;
    this.#note('error');
    this.#over();
  }

  /** @returns whether it goes on */
  #note(event: string): boolean {
    this.events.push(event);
    this.#habits.on?.(event, this);
    for (const watcher of [...this.#watchers]) watcher();
    return !this.events.includes('gave back');
  }
}

/** The connections to one target, and who uses them. */
export class Line {
  readonly wires: Wires;

  constructor(t: Pick<TestContext, 'after'>, url: string, options: Partial<UpstreamOptions> = {}) {
    const timeouts = { connectTimeout: 5000, responseTimeout: 10_000, idleTimeout: 10_000, failTimeout: 0, ...options };
    this.wires = new Wires(new URL(url), timeouts);
    t.after(() => this.wires.close());
  }

  /** Has a request sent. */
  ask(habits: Habits = {}): Caller {
    const caller = new Caller(habits);
    this.wires.take(caller, habits.fresh ?? false);
    return caller;
  }

  /** Has a request sent, and waits for what comes of it. */
  get(path = '/'): Promise<Caller> {
    return this.ask({ path }).over;
  }
}
