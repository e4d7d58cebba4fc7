import { catalogue, type ErrorCode, messageOf, SwivelError } from '../errors.ts';

/** What a channel stands on: the connection between a primary and a worker, seen from either end. */
export interface Wire {
  /** Does not throw; what cannot be sent any more is lost. */
  send(message: unknown, handle?: unknown): void;
  receive(listener: (message: unknown, handle?: unknown) => void): void;
}

/** What one end can be asked to do. Arguments and results are structured-clonable. */
export type Methods = Record<string, (argument: never, handle?: never) => unknown>;

type ArgumentOf<M extends Methods, K extends keyof M> = Parameters<M[K]>[0];
type ResultOf<M extends Methods, K extends keyof M> = Awaited<ReturnType<M[K]>>;

type Message =
  | { readonly call: string; readonly argument: unknown; readonly id?: number }
  | { readonly reply: number; readonly result?: unknown; readonly error?: Failure };

/** An error on its way: what its reader is to know, and no stack. */
interface Failure {
  readonly code: ErrorCode;
  readonly message: string;
  readonly remedy: string;
}

/**
 * Calls between two processes. They arrive in the order in which they were made; a method that returns a promise does not hold up the
 * next call.
 */
export class Channel<Theirs extends Methods> {
  readonly #wire: Wire;
  readonly #methods: Methods;
  readonly #fault: (error: unknown) => void;
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>();
  #nextId = 1;
  #closed = false;

  /**
   * @param methods what the other end may call
   * @param fault told of what a method threw that nobody waits for: a message, whatever it says, never ends the process that gets it
   */
  constructor(wire: Wire, methods: Methods, fault: (error: unknown) => void = warn) {
    this.#wire = wire;
    this.#methods = methods;
    this.#fault = fault;
    wire.receive((message, handle) => {
      if (typeof message === 'object' && message !== null) void this.#received(message as Message, handle);
    });
  }

  /** Calls a method of the other end. @throws SwivelError WORKER_GONE when the channel closes first, or what the method throws */
  call<K extends keyof Theirs & string>(method: K, argument: ArgumentOf<Theirs, K>): Promise<ResultOf<Theirs, K>> {
    const waiting = Promise.withResolvers<unknown>();
    if (this.#closed) waiting.reject(new SwivelError('WORKER_GONE'));
    else {
      const id = this.#nextId++;
      this.#waiting.set(id, waiting);
      this.#wire.send({ call: method, argument, id } satisfies Message);
    }
    return waiting.promise as Promise<ResultOf<Theirs, K>>;
  }

  /** As `call`, without waiting for anything. @param handle of a socket, to go along */
  tell<K extends keyof Theirs & string>(method: K, argument: ArgumentOf<Theirs, K>, handle?: unknown): void {
    if (!this.#closed) this.#wire.send({ call: method, argument } satisfies Message, handle);
  }

  /** There is nobody at the other end any more. Idempotent. */
  close(): void {
    this.#closed = true;
    for (const { reject } of this.#waiting.values()) reject(new SwivelError('WORKER_GONE'));
    this.#waiting.clear();
  }

  async #received(message: Message, handle: unknown): Promise<void> {
    if ('reply' in message) {
      const waiting = this.#waiting.get(message.reply);
      this.#waiting.delete(message.reply);
      if (message.error === undefined) waiting?.resolve(message.result);
      else waiting?.reject(errorOf(message.error));
      return;
    }
    const { call, argument, id } = message;
    // What the other end says is not trusted to be one of the names that were agreed on.
    const method = Object.hasOwn(this.#methods, call) ? this.#methods[call] : undefined;
    try {
      if (!method) throw new SwivelError('INTERNAL', `there is no method ${call}`);
      const result = await method(argument as never, handle as never);
      if (id !== undefined) this.#wire.send({ reply: id, result } satisfies Message);
    } catch (error) {
      if (id === undefined) this.#fault(error);
      else this.#wire.send({ reply: id, error: failureOf(error) } satisfies Message);
    }
  }
}

function warn(error: unknown): void {
  process.emitWarning(messageOf(error), 'ChannelWarning');
}

function failureOf(error: unknown): Failure {
  const known = error instanceof SwivelError ? error : new SwivelError('INTERNAL', messageOf(error));
  const { code, message, remedy } = known;
  return { code, message, remedy };
}

function errorOf({ code, message, remedy }: Failure): SwivelError {
  // A worker of another version may have codes of its own.
  return new SwivelError(Object.hasOwn(catalogue, code) ? code : 'INTERNAL', message, { remedy });
}
