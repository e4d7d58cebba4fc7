import { parentPort, workerData } from 'node:worker_threads';
import { AnswerError, type CheckedAnswer, checkAnswer } from './answer.ts';
import {
  type HostMessage,
  monotonicNow,
  PluginFailure,
  type PluginThreadData,
  type ThreadMessage,
} from './messages.ts';
import { complaintOf, PluginLog } from './text.ts';
import type { PluginCertificates } from './types.ts';

/**
 * The thread's side: runs one plug-in. What leaves it was checked here and is of bounded size, so that whatever the plug-in
 * does costs the main thread next to nothing.
 */
const { module, options } = workerData as PluginThreadData;
const shutdown = new AbortController();
let opening: Promise<PluginCertificates> | null = null;

const say = (message: ThreadMessage) => parentPort?.postMessage(message);
const log = new PluginLog((message) => say({ kind: 'log', message }));
capture(process.stdout);
capture(process.stderr);

parentPort?.on('message', (message: HostMessage) => {
  if (message.kind === 'load') void load(message.until);
  else void end();
});
// Whatever was thrown, of whatever size, crosses as one short line; unhandled rejections come here too.
process.on('uncaughtException', (error) => void fail(new PluginFailure('PLUGIN_FAILED', complaintOf(error))));

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
    say({ kind: 'answer', answer: check(raw) });
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

async function fail({ code, message }: PluginFailure): Promise<void> {
  say({ kind: 'failed', code, message });
  await end();
}

let ending: Promise<void> | null = null;

function end(): Promise<void> {
  ending ??= close().finally(() => process.exit());
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
