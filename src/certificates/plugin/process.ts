import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import { getPriority, setPriority } from 'node:os';
import { fileURLToPath } from 'node:url';
import { serialize } from 'node:v8';
import { type CheckedAnswer, checkAnswer, mostIdentities } from './answer.ts';
import { Channel } from './channel.ts';
import { failureCodes, type HostMessage, PluginFailure, type ProcessMessage } from './messages.ts';
import { ProcessGroup } from './process-group.ts';
import { RawOutput } from './raw-output.ts';
import { complaintOf, PluginLog, presentable } from './text.ts';

export interface PluginProcessOptions {
  /** Shown by tools that list processes. */
  readonly name: string;
  /** The module, as a `file:` URL. */
  readonly module: string;
  /** Passed on to the factory. */
  readonly options: unknown;
  /** MiB of JavaScript heap, beyond which the process ends. */
  readonly memory: number;
  /** Takes what the plug-in logs and prints, a line at a time. */
  readonly log: (line: string) => void;
}

/** Milliseconds that a process has to close its source. */
const closeLimit = 1000;
/** Milliseconds for what a process wrote last, which a program that it started may hold open. */
const lastWords = 500;
/** Bytes of a message: an identity of the greatest size, each character escaped, is shorter. */
const longestMessage = 32 * 1024 * 1024;

/** One process that runs one plug-in, as its host sees it. It keeps this process alive only while it is asked. */
export class PluginProcess {
  /** Resolves when the process is no more. */
  readonly gone: Promise<void>;
  readonly #child: ChildProcess;
  readonly #group: ProcessGroup;
  readonly #pipes: readonly Socket[];
  readonly #channel: Channel | null;
  readonly #log: PluginLog;
  readonly #memory: number;
  #identities: unknown[] = [];
  #leaving = false;
  #question: PromiseWithResolvers<CheckedAnswer> | null = null;

  /** @throws PluginFailure when there can be no process */
  constructor({ name, memory, log, module, options }: PluginProcessOptions) {
    this.#memory = memory;
    this.#log = new PluginLog(log);
    const start: HostMessage = { kind: 'start', module, options: packed(options), host: process.pid };
    this.#child = startProcess(name, memory);
    this.#group = new ProcessGroup(this.#child);
    // There are none where the process could not be started for want of descriptors.
    const [, output, errors, pipe] = (this.#child.stdio ?? []) as (Socket | null | undefined)[];
    this.#pipes = [output, errors, pipe].filter((one) => one != null);
    this.#channel = pipe
      ? new Channel(pipe, {
          longest: longestMessage,
          heard: (message) => this.#heard(message as ProcessMessage),
          ended: (error) => this.#cut(error),
        })
      : null;
    this.gone = this.#follow([output, errors].filter((one) => one != null).map((one) => new RawOutput(one, this.#log)));
    this.#unref();
    void this.#channel?.send(start);
  }

  /**
   * Asks the plug-in for everything it has. One question at a time.
   * @param until when it is told to give up, by `monotonicNow`
   * @throws PluginFailure; then the process ends
   */
  ask(until: number): Promise<CheckedAnswer> {
    this.#question = Promise.withResolvers();
    this.#identities = [];
    this.#log.refill();
    this.#child.ref();
    this.#pipes.at(-1)?.ref();
    this.#tell({ kind: 'load', until });
    return this.#question.promise;
  }

  /** Lets the plug-in close its source, and ends the process then, or soon in any case. */
  close(): void {
    this.#leaving = true;
    this.#unref();
    this.#tell({ kind: 'close' });
    const timer = setTimeout(() => this.end(), closeLimit).unref();
    void this.gone.then(() => clearTimeout(timer));
  }

  /** Ends the process and what it started now, in the middle of a loop too. */
  end(): void {
    this.#leaving = true;
    this.#unref();
    this.#group.end();
  }

  #tell(message: HostMessage): void {
    void this.#channel?.send(message);
  }

  #unref(): void {
    this.#child.unref();
    for (const pipe of this.#pipes) pipe.unref();
  }

  #follow(outputs: readonly RawOutput[]): Promise<void> {
    return new Promise((resolve) => {
      const over = (failure: PluginFailure) => {
        this.#hangUp();
        this.#failed(failure);
        resolve();
      };
      this.#child.once('error', (error) => over(unstartable(error)));
      this.#child.once('exit', (code, signal) => {
        for (const output of outputs) output.hurry();
        const late = setTimeout(() => this.#hangUp(), lastWords);
        this.#child.once('close', () => {
          clearTimeout(late);
          const starved = outputs.some(({ outOfMemory }) => outOfMemory);
          const how = `ended by itself (${signal ?? `exit code ${code}`})`;
          over(new PluginFailure('PLUGIN_FAILED', starved ? `reached its memory limit of ${this.#memory} MiB` : how));
        });
      });
    });
  }

  #hangUp(): void {
    for (const pipe of this.#pipes) pipe.destroy();
  }

  /** What is no message, which only a plug-in that wrote to the channel itself can have sent, throws. */
  #heard(message: ProcessMessage): void {
    if (message.kind === 'log') this.#log.line(message.message);
    else if (message.kind === 'failed') this.#failed(received(message));
    else if (message.kind === 'answer') this.#answered(message);
    else if (this.#identities.push(message.identity) > mostIdentities) throw new RangeError('too many identities');
  }

  #answered({ flaws, askAgainAt, watch }: ProcessMessage & { kind: 'answer' }): void {
    // Once more: the plug-in may have written to the channel itself. A time that has passed since the first check is no flaw.
    const answer = checkAnswer({ identities: this.#identities, askAgainAt, watch }, Number.NEGATIVE_INFINITY);
    this.#identities = [];
    const given = flaws.map(({ identity, message }) => ({
      ...(identity === undefined ? {} : { identity: presentable(identity) }),
      message: presentable(message),
    }));
    this.#settle()?.resolve({ ...answer, flaws: [...given, ...answer.flaws] });
  }

  #cut(error: Error | null): void {
    // Without an error it was the process that ended, or is about to: what it ended with is known soon.
    if (error) this.#failed(new PluginFailure('PLUGIN_FAILED', 'disturbed the channel to its host'));
    this.#group.end();
  }

  #failed(failure: PluginFailure): void {
    const question = this.#settle();
    if (question) question.reject(failure);
    else if (!this.#leaving) {
      // Between two loads: nobody asked, and the next load starts another.
      this.#log.line(failure.message);
      this.end();
    }
    this.#leaving = true;
  }

  #settle(): PromiseWithResolvers<CheckedAnswer> | null {
    const question = this.#question;
    this.#question = null;
    this.#unref();
    return question;
  }
}

function received({ code, message }: ProcessMessage & { kind: 'failed' }): PluginFailure {
  if (!failureCodes.includes(code)) throw new TypeError('no code');
  return new PluginFailure(code, presentable(message));
}

function packed(options: unknown): string {
  try {
    return serialize(options).toString('base64');
  } catch (error) {
    throw unstartable(error);
  }
}

function startProcess(name: string, memory: number): ChildProcess {
  // Unbuilt sources and the built ones differ in their ending.
  const ending = import.meta.url.slice(import.meta.url.lastIndexOf('.'));
  const script = fileURLToPath(new URL(`./plugin-process${ending}`, import.meta.url));
  try {
    const child = spawn(process.execPath, [`--max-old-space-size=${memory}`, script, name], {
      env: { ...process.env },
      // Standard output is a log of JSON lines: nothing of a plug-in goes there. The last is the channel.
      stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
      // A group of its own: it is ended with all that it started, and signals of the terminal are not for it.
      detached: true,
    });
    // What goes before others here does not go for the code of others.
    if (child.pid !== undefined && getPriority() < 0) setPriority(child.pid, 0);
    return child;
  } catch (error) {
    throw unstartable(error);
  }
}

function unstartable(error: unknown): PluginFailure {
  return new PluginFailure('PLUGIN_FAILED', `no process can be started for it: ${complaintOf(error)}`);
}
