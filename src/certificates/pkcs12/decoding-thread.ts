import { Worker } from 'node:worker_threads';
import type { Secret } from '../secret.ts';
import type { Opened, OpenedMessage, OpenMessage } from './messages.ts';

/** A keystore to be opened. */
export interface DecodeRequest {
  readonly bytes: Uint8Array;
  readonly passphrase: Secret | undefined;
  /** Milliseconds it may take, the wait for its turn not counted. */
  readonly timeout: number;
}

/** What came of it. */
export interface Decoded {
  readonly opened: Opened;
  /** Whether the same bytes would give the same again: not so when the thread ended or ran out of time. */
  readonly final: boolean;
}

interface Call {
  readonly id: number;
  readonly request: DecodeRequest;
  resolve(decoded: Decoded): void;
}

/** More than any keystore of a megabyte needs; one that asks for more ends the thread, not the process. */
const memory = { maxOldGenerationSizeMb: 192, maxYoungGenerationSizeMb: 32 };

/**
 * Opens keystores in a thread of its own, one at a time: key derivation is seconds of computing at worst, and connections
 * must not wait for it. The thread starts with the first keystore; one that takes too long is ended and replaced.
 */
export class DecodingThread {
  readonly #script: URL;
  #worker: Worker | null = null;
  readonly #waiting: Call[] = [];
  #current: Call | null = null;
  #timer: NodeJS.Timeout | undefined;
  #lastCall = 0;

  /** @param script the thread's side */
  constructor(script = threadScript()) {
    this.#script = script;
  }

  /** Opens a keystore. Never rejects. */
  decode(request: DecodeRequest): Promise<Decoded> {
    return new Promise((resolve) => {
      this.#waiting.push({ id: this.#lastCall++, request, resolve });
      this.#next();
    });
  }

  #next(): void {
    if (this.#current) return;
    const call = this.#waiting.shift();
    if (!call) {
      this.#worker?.unref();
      return;
    }
    this.#current = call;
    this.#worker ??= this.#start();
    // Nobody who waits for an answer should see the process end instead.
    this.#worker.ref();
    const { bytes, passphrase, timeout } = call.request;
    const message: OpenMessage = { call: call.id, bytes, passphrase: passphrase?.reveal() ?? null };
    this.#worker.postMessage(message);
    this.#timer = setTimeout(() => this.#overdue(timeout), timeout);
  }

  #start(): Worker {
    const worker = new Worker(this.#script, { name: 'keystores', stdin: false, resourceLimits: memory });
    worker.on('message', ({ call, opened }: OpenedMessage) => {
      if (this.#current?.id === call) this.#answer({ opened, final: true });
    });
    worker.on('error', (error) => this.#ended(worker, String(error)));
    worker.on('exit', (code) => this.#ended(worker, `exit code ${code}`));
    return worker;
  }

  #overdue(timeout: number): void {
    const worker = this.#worker;
    this.#worker = null;
    worker?.unref();
    void worker?.terminate();
    this.#fail(`was not opened within ${timeout} ms: it asks for too much work, or the machine is too busy`);
  }

  #ended(worker: Worker, reason: string): void {
    if (this.#worker !== worker) return;
    this.#worker = null;
    if (this.#current) this.#fail(`was not opened: the decoding thread ended (${reason})`);
  }

  #fail(message: string): void {
    this.#answer({ opened: { fault: { code: 'KEYSTORE_UNREADABLE', message } }, final: false });
  }

  #answer(decoded: Decoded): void {
    clearTimeout(this.#timer);
    this.#current?.resolve(decoded);
    this.#current = null;
    this.#next();
  }
}

function threadScript(): URL {
  // Unbuilt sources and the built ones differ in their ending.
  const ending = import.meta.url.slice(import.meta.url.lastIndexOf('.'));
  return new URL(`./decode-thread${ending}`, import.meta.url);
}

/** The one that all sources share. */
export const decodingThread = new DecodingThread();
