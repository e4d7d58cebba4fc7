import type { Flaw } from './answer.ts';

/** Codes of a plug-in source that failed as a whole. */
export const failureCodes = ['PLUGIN_FAILED', 'PLUGIN_INVALID', 'SOURCE_TIMEOUT'] as const;
/** One of {@link failureCodes}. */
export type PluginFailureCode = (typeof failureCodes)[number];

/** What the process is told, `start` before all else. */
export type HostMessage =
  | {
      readonly kind: 'start';
      /** The module, as a `file:` URL. */
      readonly module: string;
      /** Passed on to the factory: base64 of `v8.serialize`, since JSON has neither dates nor infinity. */
      readonly options: string;
      /** Id of the process that tells it. */
      readonly host: number;
    }
  /** With when to give up, by `monotonicNow`. */
  | { readonly kind: 'load'; readonly until: number }
  | { readonly kind: 'close' };

/** What the process says. After `failed` it closes the source and ends. */
export type ProcessMessage =
  /** One of the answer that follows. Each is a message of its own, so that none holds up the host's event loop for long. */
  | { readonly kind: 'identity'; readonly identity: unknown }
  | {
      readonly kind: 'answer';
      readonly flaws: readonly Flaw[];
      readonly askAgainAt?: number;
      readonly watch: readonly string[];
    }
  | { readonly kind: 'failed'; readonly code: PluginFailureCode; readonly message: string }
  | { readonly kind: 'log'; readonly message: string };

/** Milliseconds by a clock that is never set, the same in each process of a machine. */
export function monotonicNow(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000;
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
