import { writeFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { deserialize } from 'node:v8';
import { Worker } from 'node:worker_threads';
import { AnswerError, type CheckedAnswer, checkAnswer } from './answer.ts';
import { Channel } from './channel.ts';
import { type HostMessage, monotonicNow, PluginFailure, type ProcessMessage } from './messages.ts';
import { complaintOf, PluginLog } from './text.ts';
import type { PluginCertificates } from './types.ts';

/**
 * The process's side: runs one plug-in. What leaves it was checked here and is of bounded size, so that whatever the plug-in
 * does costs the host next to nothing.
 */
const shutdown = new AbortController();
let module = '';
let options: unknown;
let opening: Promise<PluginCertificates> | null = null;

const channel = new Channel(new Socket({ fd: 3, readable: true, writable: true }), {
  longest: Number.POSITIVE_INFINITY,
  heard: (message) => heard(message as HostMessage),
  ended: () => void end(),
});
const say = (message: ProcessMessage) => channel.send(message);
const log = new PluginLog((message) => void say({ kind: 'log', message }));
capture(process.stdout);
capture(process.stderr);
// Whatever was thrown, of whatever size, crosses as one short line; unhandled rejections come here too.
process.on('uncaughtException', (error) => void fail(new PluginFailure('PLUGIN_FAILED', complaintOf(error))));
// A service manager signals every process of a service. This one ends when its host says so.
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => {});
sacrifice();

function heard(message: HostMessage): void {
  if (message.kind === 'start') start(message);
  else if (message.kind === 'load') void load(message.until);
  else void end();
}

function start(message: HostMessage & { kind: 'start' }): void {
  module = message.module;
  options = deserialize(Buffer.from(message.options, 'base64'));
  const ending = import.meta.url.slice(import.meta.url.lastIndexOf('.'));
  new Worker(new URL(`./watchdog-thread${ending}`, import.meta.url), {
    workerData: message.host,
    execArgv: [],
  }).unref();
}

/** Where memory runs out, the kernel ends this process before any other: proc(5), `oom_score_adj`. */
function sacrifice(): void {
  try {
    writeFileSync('/proc/self/oom_score_adj', '1000');
  } catch {
    // Not Linux, or not allowed to.
  }
}

/** Makes what is printed, by whatever means of JavaScript, a part of the log. */
function capture(stream: NodeJS.WriteStream): void {
  stream.write = (chunk: unknown, ...rest: unknown[]) => {
    log.print(typeof chunk === 'string' ? chunk : Buffer.from(chunk as Uint8Array).toString('utf8'));
    const done = rest.at(-1);
    if (typeof done === 'function') queueMicrotask(() => done());
    return true;
  };
}

async function load(until: number): Promise<void> {
  log.refill();
  const overdue = AbortSignal.timeout(Math.max(0, Math.floor(until - monotonicNow())));
  try {
    opening ??= open();
    const source = await opening;
    const raw = await source.load({ signal: AbortSignal.any([shutdown.signal, overdue]) });
    await answer(check(raw));
  } catch (error) {
    if (error instanceof PluginFailure) await fail(error);
    else if (overdue.aborted) await fail(new PluginFailure('SOURCE_TIMEOUT', 'gave up because its time ran out'));
    else await fail(new PluginFailure('PLUGIN_FAILED', complaintOf(error)));
  }
}

async function open(): Promise<PluginCertificates> {
  const { default: factory } = (await import(module)) as { default?: unknown };
  if (typeof factory !== 'function') throw new PluginFailure('PLUGIN_INVALID', 'the default export is not a function');
  const context = { log: (message: unknown) => log.line(String(message)), signal: shutdown.signal };
  const source = (await factory(options, context)) as PluginCertificates | null | undefined;
  if (typeof source?.load !== 'function') {
    throw new PluginFailure('PLUGIN_INVALID', 'load of what the factory returned is not a function');
  }
  return source;
}

function check(raw: unknown): CheckedAnswer {
  try {
    return checkAnswer(raw, Date.now());
  } catch (error) {
    if (error instanceof AnswerError) throw new PluginFailure('PLUGIN_INVALID', error.message);
    throw error;
  }
}

async function answer({ identities, ...rest }: CheckedAnswer): Promise<void> {
  // One after the other: the whole answer is not in memory a second time.
  for (const identity of identities) await say({ kind: 'identity', identity });
  await say({ kind: 'answer', ...rest });
}

async function fail({ code, message }: PluginFailure): Promise<void> {
  await say({ kind: 'failed', code, message });
  await end();
}

let ending: Promise<void> | null = null;

function end(): Promise<void> {
  ending ??= close().finally(() => process.exit(0));
  return ending;
}

async function close(): Promise<void> {
  shutdown.abort();
  const source = await opening?.catch(() => null);
  try {
    await source?.close?.();
  } catch (error) {
    log.line(`close() failed: ${complaintOf(error)}`);
  }
}
