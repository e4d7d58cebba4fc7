import { Worker } from 'node:worker_threads';
import type { CheckedAnswer } from './answer.ts';
import { PluginFailure, type PluginThreadData, type ThreadMessage } from './messages.ts';
import { complaintOf } from './text.ts';

export interface PluginThreadOptions extends PluginThreadData {
  /** Shown by tools that list threads. */
  readonly name: string;
  /** MiB of JavaScript heap, beyond which the thread is ended. */
  readonly memory: number;
  /** Takes what the plug-in logs and prints, a line at a time. */
  readonly log: (line: string) => void;
}

/** Milliseconds that a thread has to close its source. */
const closeLimit = 1000;

/** One thread that runs one plug-in, as its host sees it. It keeps the process alive only while it is asked. */
export class PluginThread {
  /** Resolves when the thread is no more. */
  readonly gone: Promise<void>;
  readonly #worker: Worker;
  readonly #log: (line: string) => void;
  #leaving = false;
  #question: PromiseWithResolvers<CheckedAnswer> | null = null;

  /** @throws PluginFailure when there can be no thread */
  constructor({ name, memory, log, ...data }: PluginThreadOptions) {
    this.#log = log;
    this.#worker = startWorker(name, memory, data);
    this.#worker.unref();
    this.gone = new Promise((resolve) => this.#worker.once('exit', () => resolve()));
    this.#worker.on('message', (message: ThreadMessage) => this.#heard(message));
    this.#worker.on('error', (error) => this.#failed(new PluginFailure('PLUGIN_FAILED', complaintOf(error))));
    this.#worker.on('exit', (code) =>
      this.#failed(new PluginFailure('PLUGIN_FAILED', `ended by itself (exit code ${code})`)),
    );
  }

  /**
   * Asks the plug-in for everything it has. One question at a time.
   * @param until when it is told to give up, by `monotonicNow`
   * @throws PluginFailure; then the thread ends
   */
  ask(until: number): Promise<CheckedAnswer> {
    this.#question = Promise.withResolvers();
    this.#worker.ref();
    this.#worker.postMessage({ kind: 'load', until });
    return this.#question.promise;
  }

  /** Lets the plug-in close its source, and ends the thread then, or soon in any case. */
  close(): void {
    this.#leaving = true;
    this.#worker.unref();
    this.#worker.postMessage({ kind: 'close' });
    const timer = setTimeout(() => this.end(), closeLimit).unref();
    void this.gone.then(() => clearTimeout(timer));
  }

  /** Ends the thread now, in the middle of a loop too. */
  end(): void {
    this.#leaving = true;
    this.#worker.unref();
    void this.#worker.terminate();
  }

  #heard(message: ThreadMessage | null | undefined): void {
    // The plug-in can reach the port as well; what it may post there by mistake is passed over.
    if (message?.kind === 'log') this.#log(String(message.message));
    else if (message?.kind === 'failed') this.#failed(new PluginFailure(message.code, message.message));
    else if (message?.kind === 'answer') this.#settle()?.resolve(message.answer);
  }

  #failed(failure: PluginFailure): void {
    const question = this.#settle();
    if (question) question.reject(failure);
    else if (!this.#leaving) {
      // Between two loads: nobody asked, and the next load starts another.
      this.#log(failure.message);
      this.end();
    }
    this.#leaving = true;
  }

  #settle(): PromiseWithResolvers<CheckedAnswer> | null {
    const question = this.#question;
    this.#question = null;
    this.#worker.unref();
    return question;
  }
}

function startWorker(name: string, memory: number, workerData: PluginThreadData): Worker {
  // Unbuilt sources and the built ones differ in their ending.
  const ending = import.meta.url.slice(import.meta.url.lastIndexOf('.'));
  try {
    return new Worker(new URL(`./plugin-thread${ending}`, import.meta.url), {
      name,
      workerData,
      env: { ...process.env },
      execArgv: [],
      // Standard output is a log of JSON lines: nothing of a plug-in goes there. Read here, the two would keep the process alive.
      stdout: true,
      stderr: true,
      resourceLimits: { maxOldGenerationSizeMb: memory, maxYoungGenerationSizeMb: 32, stackSizeMb: 4 },
    });
  } catch (error) {
    throw new PluginFailure('PLUGIN_FAILED', `no thread can be started for it: ${complaintOf(error)}`);
  }
}
