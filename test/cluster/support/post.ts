import { setImmediate as turn } from 'node:timers/promises';
import { deserialize, serialize } from 'node:v8';

type Listener = (message: unknown, handle?: unknown) => void;

/** `kept`: it is the first to arrive once messages are no longer held. */
export type Fate = 'arrives' | 'lost' | 'kept';

/** Messages on their way, and work that they led to, of all wires of this process. */
let underway = 0;

/** Counts work, however many turns it takes, as something that is still on its way. */
export async function during<T>(work: Promise<T>): Promise<T> {
  underway += 1;
  try {
    return await work;
  } finally {
    underway -= 1;
  }
}

/** One direction of a wire within this process. Messages arrive in order, each in a turn of its own, as structured clones. */
export class Post {
  readonly #listeners: Listener[] = [];
  readonly #kept: { readonly bytes: Buffer; readonly handle: unknown }[] = [];
  /** Called with each message just before it arrives; says what becomes of it. */
  intercept: (message: Record<string, unknown>) => Fate = () => 'arrives';
  #holds = false;
  #closed = false;
  readonly #emptied = Promise.withResolvers<void>();

  send(message: unknown, handle?: unknown): void {
    if (this.#closed) return;
    this.#kept.push({ bytes: serialize(message), handle });
    this.#next();
  }

  receive(listener: Listener): void {
    this.#listeners.push(listener);
  }

  /** Keeps messages back until `resume`. */
  hold(): void {
    this.#holds = true;
  }

  resume(): void {
    if (!this.#holds) return;
    this.#holds = false;
    for (const _ of this.#kept) this.#next();
  }

  /** Nothing is sent any more, and what is still on its way is lost. */
  close(): void {
    this.#closed = true;
    this.#kept.length = 0;
  }

  /** Nothing is sent any more. Resolves when what is on its way has arrived; what is held is lost. */
  end(): Promise<void> {
    this.#closed = true;
    if (this.#holds) this.#kept.length = 0;
    if (this.#kept.length === 0) this.#emptied.resolve();
    return this.#emptied.promise;
  }

  /** Hands a message over at once, whatever else is the matter. */
  deliver(message: unknown, handle?: unknown): void {
    for (const listener of this.#listeners) listener(message, handle);
  }

  #next(): void {
    if (this.#holds) return;
    underway += 1;
    setImmediate(() => {
      underway -= 1;
      if (this.#holds) return;
      const [first] = this.#kept;
      if (!first) return;
      const message = deserialize(first.bytes) as Record<string, unknown>;
      const fate = this.intercept(message);
      if (fate === 'kept') return;
      this.#kept.shift();
      if (fate === 'arrives') this.deliver(message, first.handle);
      if (this.#closed && this.#kept.length === 0) this.#emptied.resolve();
    });
  }
}

/** Resolves once no message is on its way and nothing follows from the last one. */
export async function quiet(): Promise<void> {
  for (let still = 0; still < 8; still += 1) {
    await turn();
    if (underway > 0) still = 0;
  }
}
