import type { CheckedAnswer } from './answer.ts';

/** Codes of a plug-in source that failed as a whole. */
export type PluginFailureCode = 'PLUGIN_FAILED' | 'PLUGIN_INVALID' | 'SOURCE_TIMEOUT';

/** What a thread is started with. */
export interface PluginThreadData {
  /** The module, as a `file:` URL. */
  readonly module: string;
  /** Passed on to the factory. */
  readonly options: unknown;
}

/** What the thread is told. */
export type HostMessage =
  /** With when to give up, milliseconds since 1970 by the monotonic clock, which all threads share. */
  { readonly kind: 'load'; readonly until: number } | { readonly kind: 'close' };

/** What the thread says. After `failed` it closes the source and ends. */
export type ThreadMessage =
  | { readonly kind: 'answer'; readonly answer: CheckedAnswer }
  | { readonly kind: 'failed'; readonly code: PluginFailureCode; readonly message: string }
  | { readonly kind: 'log'; readonly message: string };

/** Milliseconds since 1970, by a clock that is never set: the same in each thread of a process. */
export function monotonicNow(): number {
  return performance.timeOrigin + performance.now();
}

/** Why a plug-in source as a whole has no answer. */
export class PluginFailure extends Error {
  readonly code: PluginFailureCode;

  /** @param message what is wrong, to stand behind the name of the module; shown as it is */
  constructor(code: PluginFailureCode, message: string) {
    super(message);
    this.code = code;
  }
}
